/*
 * inbound_reason.h
 *	  Why mail could not be delivered, told by codes and well-known texts.
 */
#ifndef MA_INBOUND_REASON_H
#define MA_INBOUND_REASON_H

/* A reason. hard: the address is dead, nothing will ever arrive there. */
typedef struct MaReason
{
	const char *name;
	bool		hard;
} MaReason;

extern const MaReason *ma_reason_of_text(const char *text);
extern const MaReason *ma_reason_of_status(const char *status);
extern const MaReason *ma_reason_of_class(const char *status);
extern const MaReason *ma_reason_in_truth(const MaReason *reason,
										  const char	 *status,
										  const char	 *text);
extern char			  *ma_reason_status(const char *text);
extern char			  *ma_reason_plain(const char *text, Size max);

#endif /* MA_INBOUND_REASON_H */
