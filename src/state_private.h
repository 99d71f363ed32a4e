/*
 * state_private.h
 *	  What the parts of state share: the encoded state.
 */
#ifndef MA_STATE_PRIVATE_H
#define MA_STATE_PRIVATE_H

#include "state.h"

extern void ma_state_decode(MaContact *contact, const char *in,
							const char *end);
extern void ma_state_encode(MaContact *contact, StringInfo out);

#endif /* MA_STATE_PRIVATE_H */
