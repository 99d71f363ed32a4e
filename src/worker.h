/*
 * worker.h
 *	  Background workers: launcher, scheduler, senders.
 */
#ifndef MA_WORKER_H
#define MA_WORKER_H

extern void				ma_worker_init(void);
extern PGDLLEXPORT void ma_worker_launch(Datum arg);
extern PGDLLEXPORT void ma_worker_main(Datum arg);

#endif /* MA_WORKER_H */
