/*
 * attempt.h
 *	  Does something that may fail without failing with it.
 */
#ifndef MA_ATTEMPT_H
#define MA_ATTEMPT_H

extern bool ma_attempt(void (*work)(void *), void *arg, ErrorData **error);

#endif /* MA_ATTEMPT_H */
