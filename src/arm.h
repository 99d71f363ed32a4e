/*
 * arm.h
 *	  Whether this database may send, and to whom.
 */
#ifndef MA_ARM_H
#define MA_ARM_H

/* What arm() last said. */
typedef struct MaArm
{
	bool   ever;	   /* arm() was called in this database once */
	bool   armed;	   /* and disarm() not since then */
	int	   only_count; /* addresses below; -1: no limit */
	char **only;	   /* test mode: only these, in any case */
	char  *redirect;   /* test mode: everything goes here; or NULL */
} MaArm;

extern const MaArm *ma_arm(void);
extern bool			ma_armed_ever(void);

#endif /* MA_ARM_H */
