/*
 * result.h
 *	  How one attempt went.
 */
#ifndef RESULT_H
#define RESULT_H

#include "protocol.h"

typedef struct Result
{
	MaOutcome outcome;
	int		  code;							 /* of the reply; 0: none */
	unsigned  retry_after;					 /* seconds; 0: not said */
	char	  provided[MA_PROVIDED_MAX + 1]; /* id the server gave it */
	char	  text[MA_TEXT_MAX + 1];
} Result;

#endif /* RESULT_H */
