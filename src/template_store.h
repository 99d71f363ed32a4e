/*
 * template_store.h
 *	  Templates as they are stored: definition, versions, cache.
 */
#ifndef MA_TEMPLATE_STORE_H
#define MA_TEMPLATE_STORE_H

#include "nodes/pg_list.h"
#include "tcop/dest.h"

#include "mime.h"
#include "payload.h"
#include "template.h"

/* A function of the application that is called for each message. */
typedef struct MaTemplateCall MaTemplateCall;

/* A variable that such a function computes. */
typedef struct MaTemplateData
{
	const char	   *name;
	MaTemplateCall *call;
} MaTemplateData;

/* A file that goes with the message. */
typedef struct MaTemplateFile
{
	MaTemplate	   *name;
	const char	   *type;
	const char	   *content_id; /* NULL: an attachment */
	MaTemplateCall *call;		/* makes the content; NULL: it is in data */
	char		   *data;
	int				length;
} MaTemplateFile;

/* What a version says in a locale, parsed. A part is NULL if there is none. */
typedef struct MaTemplateVariant
{
	const char	   *locale; /* empty: the default */
	MaTemplate	   *subject;
	MaTemplate	   *html;
	MaTemplate	   *body;
	MaPayload	   *payload;
	int				ndata;
	MaTemplateData *data;
	int				nfiles;
	MaTemplateFile *files;
} MaTemplateVariant;

/* One version of a template. */
typedef struct MaStoredTemplate
{
	int				   template_id;
	int				   version;
	int				   channel_id; /* 0: only a part of others */
	bool			   transactional;
	const char		  *name;
	int				   nvariants;
	MaTemplateVariant *variants; /* the default first */
} MaStoredTemplate;

/* What a template says to somebody. A part is NULL if there is none. */
typedef struct MaRendered
{
	char *template;	  /* its name */
	Jsonb	   *data; /* what it was given, with what its functions said */
	char	   *subject;
	char	   *html;
	char	   *body;
	Jsonb	   *payload;
	int			nfiles;
	MaMailFile *files;
} MaRendered;

/* The parts of a template. */
typedef enum MaTemplatePart
{
	MA_PART_SUBJECT,
	MA_PART_HTML,
	MA_PART_BODY
} MaTemplatePart;

/* template_store.c */
extern int ma_template_named(const char *name);
extern int ma_template_to_send(const char *name);

/* template_cache.c: valid until the next look-up while nothing is held */
extern const MaStoredTemplate *ma_template_find(int template_id, int version);
extern const MaStoredTemplate *ma_template_lookup(const char *name);
extern void					   ma_template_hold(void);
extern void					   ma_template_release(void);

/* template_locale.c */
extern char *ma_locale_canonical(const char *locale);
extern bool	 ma_locale_widen(char *locale);

/* template_part.c */
extern void	 ma_template_check_parts(const char *name, MaTemplatePart part,
									 const MaTemplate *template);
extern char *ma_template_users(const char *name);

/* template_rename.c */
extern void ma_template_lock(void);
extern void ma_template_lock_names(void);
extern void ma_template_rename_all(const MaRename *rename);

/* template_call.c */
extern char *ma_template_check_function(const char *function, Oid result);
extern MaTemplateCall *ma_template_call_new(const char *function,
											const char *owner, bool bytes);
extern Datum ma_template_call(MaTemplateCall *call, Jsonb *data, bool *isnull);

/* template_result.c */
extern DestReceiver *ma_template_result_new(const char *function, bool set,
											bool bytes);
extern Datum		 ma_template_result(DestReceiver *receiver, bool *isnull);

/* template_data.c */
extern Jsonb *ma_template_check_data(Jsonb *data);
extern Jsonb *ma_template_add_data(const MaTemplateVariant *variant,
								   Jsonb				   *data);
extern bytea *ma_template_file_content(const MaTemplateFile *file,
									   Jsonb				*data);

/* template_file.c */
extern Jsonb *ma_template_check_files(Jsonb *files);
extern void	  ma_template_load_files(Jsonb *files, const char *owner,
									 MaTemplateVariant *variant);

/* template_say.c */
extern void ma_template_say(int template_id, int version, Jsonb *data,
							bool strict, MaRendered *rendered);

#endif /* MA_TEMPLATE_STORE_H */
