/*
 * delivery.h
 *	  The sender: claim, gate, render, hand to the transport, record.
 */
#ifndef MA_DELIVERY_H
#define MA_DELIVERY_H

typedef struct MaSender MaSender;

extern MaSender *ma_delivery_open(bool in_procedure);
extern int		 ma_delivery_step(MaSender *sender, int max);
extern long		 ma_delivery_sleep(MaSender *sender);
extern void		 ma_delivery_wait(MaSender *sender, long timeout_ms);
extern void		 ma_delivery_close(MaSender *sender);
extern void		 ma_delivery_abandon(MaSender *sender);

#endif /* MA_DELIVERY_H */
