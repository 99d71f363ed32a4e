/*
 * document.h
 *	  Reads a JSON document by a table of keys, naming the path of each error.
 */
#ifndef MA_DOCUMENT_H
#define MA_DOCUMENT_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* Types a value may have; or them together. */
#define MA_DOC_TEXT	  0x01
#define MA_DOC_NUMBER 0x02
#define MA_DOC_BOOL	  0x04
#define MA_DOC_OBJECT 0x08
#define MA_DOC_ARRAY  0x10
#define MA_DOC_NULL	  0x20
#define MA_DOC_ANY	  0x3f

/* What is wrong with a document, one line per error. */
typedef struct MaDocument
{
	StringInfoData errors; /* "path: message" lines */
	int			   nerrors;
	const char	  *first_hint; /* of an expression's error, or NULL */
} MaDocument;

/* A value of the document and where it stands. */
typedef struct MaNode
{
	JsonbValue	value;
	const char *path; /* "steps[1].if"; "" for the whole */
} MaNode;

/* A key an object may have. */
typedef struct MaDocKey
{
	const char *name;  /* NULL ends a table */
	int			types; /* MA_DOC_* */
	bool		required;
} MaDocKey;

/*
 * What to put into a copy of a document; each returns NULL for what stays. The
 * object is the one that a value is right in, or NULL.
 */
typedef struct MaDocCopy
{
	const char *(*text)(const MaNode *node, const MaNode *object, void *arg);
	const char *(*key)(const MaNode *node, const char *key, void *arg);
	void *arg; /* handed to both */
} MaDocCopy;

extern void	  ma_doc_init(MaDocument *doc);
extern MaNode ma_doc_root(Jsonb *json);
extern void	  ma_doc_refuse(MaDocument *doc, const char *path,
							const char *format, ...) pg_attribute_printf(3, 4);
extern void	  ma_doc_raise(MaDocument *doc, const char *what);
extern int	  ma_doc_type(const MaNode *node);
extern bool	  ma_doc_is(MaDocument *doc, const MaNode *node, int types);
extern bool	  ma_doc_check(MaDocument *doc, const MaNode *node,
						   const MaDocKey *keys);
extern bool	  ma_doc_get(const MaNode *object, const char *key, MaNode *value);
extern int	  ma_doc_length(const MaNode *array);
extern MaNode ma_doc_item(const MaNode *array, int i);
extern char	 *ma_doc_text(const MaNode *node);
extern char **ma_doc_keys(const MaNode *object, int *n);
extern Interval *ma_doc_span(MaDocument *doc, const MaNode *node);
extern Interval *ma_doc_interval(MaDocument *doc, const MaNode *node);
extern int		 ma_doc_whole(MaDocument *doc, const MaNode *node, int least,
							  int most);
extern int		 ma_doc_choice(MaDocument *doc, const MaNode *node,
							   const char *const *choices);

/* document_copy.c */
extern Jsonb *ma_doc_copy(Jsonb *json, const MaDocCopy *how);

#endif /* MA_DOCUMENT_H */
