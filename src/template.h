/*
 * template.h
 *	  Liquid templates: parsed once, rendered many times.
 */
#ifndef MA_TEMPLATE_H
#define MA_TEMPLATE_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "pgtime.h"
#include "utils/jsonb.h"

#include "rename.h"

/* Limits that hold where the options say 0. */
#define MA_TEMPLATE_STEPS  1000000 /* tags, outputs and filters done */
#define MA_TEMPLATE_OUTPUT (10 * 1024 * 1024) /* bytes */
#define MA_TEMPLATE_DEPTH  100 /* blocks and partials in one another */

typedef struct MaTemplate MaTemplate;

/* Gives the partial of a name for {% render %}, NULL if there is none. */
typedef MaTemplate *(*MaTemplateFetch)(const char *name, void *arg);

/* How to render; all zero is plain text with the limits above, in UTC. */
typedef struct MaTemplateOptions
{
	bool			escape;		/* HTML: escape each output unless its last
								 * filter is raw */
	bool			url;		/* a URL: likewise, as in its query */
	bool			strict;		/* an unknown variable is an error (42703) */
	int64			max_steps;	/* 54000 beyond it */
	int64			max_output; /* bytes; 54000 beyond it */
	pg_tz		   *zone;		/* for dates; NULL: UTC */
	TimestampTz		now;		/* what 'now' and 'today' mean */
	MaTemplateFetch fetch;		/* NULL: there are no partials */
	void		   *fetch_arg;	/* handed to fetch */
} MaTemplateOptions;

/*
 * Parses in a child of cxt, which lives as long as cxt or until
 * ma_template_free(). A mistake is 42601, with the line in the detail.
 */
extern MaTemplate *ma_template_parse(const char *source, MemoryContext cxt);
extern void		   ma_template_free(MaTemplate *template);

/*
 * The text, palloc'd in the current context. data is an object; NULL is an
 * empty one. Cancellable.
 */
extern char *ma_template_render(const MaTemplate *template, Jsonb *data,
								const MaTemplateOptions *options);

/* liquid_rename.c */
extern char *ma_template_rename(const char *source, const MaRename *rename,
								bool told, List **doubts);

#endif /* MA_TEMPLATE_H */
