/*
 * rename.h
 *	  Something that definitions name gets another name.
 */
#ifndef MA_RENAME_H
#define MA_RENAME_H

/* What has the name. */
typedef enum MaNamed
{
	MA_NAMED_LIST,
	MA_NAMED_SCORE,
	MA_NAMED_KIND,		/* of events */
	MA_NAMED_ATTRIBUTE, /* of contacts */
	MA_NAMED_TEMPLATE,
	MA_NAMED_WORKFLOW
} MaNamed;

/* What is renamed, and to what. */
typedef struct MaRename
{
	MaNamed		what;
	const char *old_name;
	const char *new_name;
} MaRename;

/*
 * The events that the engine derives tell of lists, scores and attributes by
 * their names: in this property, which others do not have (NULL: in none).
 */
extern const char *ma_rename_property(MaNamed what);
extern bool		   ma_rename_is_told(MaNamed what, const char *kind);
extern Datum	   ma_rename_kinds(MaNamed what);

#endif /* MA_RENAME_H */
