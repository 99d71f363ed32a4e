/*
 * setting.h
 *	  The settings under which values mean the same in every session.
 */
#ifndef MA_SETTING_H
#define MA_SETTING_H

extern int	ma_setting_enter(void);
extern void ma_setting_leave(int level);

#endif /* MA_SETTING_H */
