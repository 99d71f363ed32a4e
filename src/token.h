/*
 * token.h
 *	  What stands in the links of messages: which message, signed.
 */
#ifndef MA_TOKEN_H
#define MA_TOKEN_H

#include "datatype/timestamp.h"

/* What a link with the token does. */
typedef enum MaTokenPurpose
{
	MA_TOKEN_UNSUBSCRIBE = 'u'
} MaTokenPurpose;

extern void	 ma_token_check_key(void);
extern char *ma_token_refusal(void);
extern char *ma_token_make(MaTokenPurpose purpose, int64 message_id,
						   TimestampTz enqueued_at);
extern bool	 ma_token_read(const char *token, MaTokenPurpose purpose,
						   int64 *message_id, TimestampTz *enqueued_at);

#endif /* MA_TOKEN_H */
