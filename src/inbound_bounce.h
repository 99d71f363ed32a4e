/*
 * inbound_bounce.h
 *	  What a bounce says of its recipients.
 */
#ifndef MA_INBOUND_BOUNCE_H
#define MA_INBOUND_BOUNCE_H

#include "inbound_mail.h"
#include "inbound_verdict.h"

extern void ma_inbound_read_report(const MaMailTree *tree, const char *said,
								   MaInbound *mail);
extern void ma_inbound_read_bounce(const MaMailTree *tree, const char *said,
								   MaInbound *mail);

#endif /* MA_INBOUND_BOUNCE_H */
