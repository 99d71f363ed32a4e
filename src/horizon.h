/*
 * horizon.h
 *	  Who may still be about that does not know what was committed?
 */
#ifndef MA_HORIZON_H
#define MA_HORIZON_H

extern Datum ma_horizon_oldest(void);
extern Datum ma_horizon_next(void);

#endif /* MA_HORIZON_H */
