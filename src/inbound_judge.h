/*
 * inbound_judge.h
 *	  Tell what a mail that came back is.
 */
#ifndef MA_INBOUND_JUDGE_H
#define MA_INBOUND_JUDGE_H

#include "inbound_mail.h"
#include "inbound_verdict.h"

extern void ma_inbound_judge(MaSpan raw, MaInbound *mail);

#endif /* MA_INBOUND_JUDGE_H */
