/*
 * template_store.h
 *	  Templates as they are stored: definition, versions, cache.
 */
#ifndef MA_TEMPLATE_STORE_H
#define MA_TEMPLATE_STORE_H

#include "template.h"

/* One version of a template, parsed. A part is NULL if there is none. */
typedef struct MaStoredTemplate
{
	int			template_id;
	int			version;
	int			channel_id;
	bool		transactional;
	MaTemplate *subject;
	MaTemplate *html;
	MaTemplate *body;
} MaStoredTemplate;

/* What a template says to somebody. A part is NULL if there is none. */
typedef struct MaRendered
{
	char *subject;
	char *html;
	char *body;
} MaRendered;

extern int					   ma_template_named(const char *name);
extern const MaStoredTemplate *ma_template_find(int template_id, int version);
extern void ma_template_say(const MaStoredTemplate *template, Jsonb *data,
							bool strict, MaRendered *rendered);

#endif /* MA_TEMPLATE_STORE_H */
