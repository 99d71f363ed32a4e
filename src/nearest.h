/*
 * nearest.h
 *	  Which of some names did somebody mean?
 */
#ifndef MA_NEAREST_H
#define MA_NEAREST_H

/* A search under way. */
typedef struct MaNearest
{
	const char *name; /* as it was written */
	int			distance;
	const char *best; /* the nearest so far, NULL if none is near */
} MaNearest;

extern void ma_nearest_begin(MaNearest *nearest, const char *name);
extern void ma_nearest_offer(MaNearest *nearest, const char *known);

#endif /* MA_NEAREST_H */
