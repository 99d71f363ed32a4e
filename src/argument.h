/*
 * argument.h
 *	  Arguments of SQL functions, checked.
 */
#ifndef MA_ARGUMENT_H
#define MA_ARGUMENT_H

#include "fmgr.h"
#include "utils/jsonb.h"

extern char	 *ma_argument_text(FunctionCallInfo fcinfo, int i,
							   const char *name);
extern char	 *ma_argument_text_or_null(FunctionCallInfo fcinfo, int i);
extern char	 *ma_argument_name(FunctionCallInfo fcinfo, int i,
							   const char *name);
extern Jsonb *ma_argument_object(FunctionCallInfo fcinfo, int i,
								 const char *name);
extern int	  ma_argument_priority(FunctionCallInfo fcinfo, int i);
extern void	  ma_argument_check_key(const char *key, const char *name);
extern void	  ma_argument_not_null(FunctionCallInfo fcinfo, int i,
								   const char *name);

#endif /* MA_ARGUMENT_H */
