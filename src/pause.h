/*
 * pause.h
 *	  Channels that are paused.
 */
#ifndef MA_PAUSE_H
#define MA_PAUSE_H

extern bool ma_pause_holds(int channel_id);
extern void ma_pause_begin(int channel_id, const char *reason, bool automatic);

#endif /* MA_PAUSE_H */
