/*
 * error.h
 *	  Errors of definitions, noted instead of raised.
 */
#ifndef MA_ERROR_H
#define MA_ERROR_H

extern void ma_error_note(const char *object, int64 contact_id,
						  ErrorData *edata);

#endif /* MA_ERROR_H */
