/*
 * guc.h
 *	  The settings of mautomate, as plain variables.
 */
#ifndef MA_GUC_H
#define MA_GUC_H

extern char *ma_guc_databases;		   /* mautomate.databases */
extern int	 ma_guc_senders;		   /* mautomate.senders */
extern char *ma_guc_timezone;		   /* mautomate.timezone */
extern int	 ma_guc_identity;		   /* mautomate.identity, MaIdentity */
extern int	 ma_guc_refresh;		   /* mautomate.refresh, MaRefreshMode */
extern char *ma_guc_secrets_directory; /* mautomate.secrets_directory */
extern int	 ma_guc_hard_bounces;	   /* mautomate.hard_bounces */
extern int	 ma_guc_soft_bounces;	   /* mautomate.soft_bounces */
extern int	 ma_guc_soft_bounce_days;  /* mautomate.soft_bounce_days */
extern int	 ma_guc_complaints;		   /* mautomate.complaints */
extern char *ma_guc_stop_words;		   /* mautomate.stop_words */
extern char *ma_guc_start_words;	   /* mautomate.start_words */
extern char *ma_guc_token_key_file;	   /* mautomate.token_key_file */
extern int	 ma_guc_window_entries;	   /* mautomate.window_entries */
extern int	 ma_guc_data_timeout;	   /* mautomate.data_timeout, in ms */

/* What identify does when a second contact would get a known address. */
typedef enum MaIdentity
{
	MA_IDENTITY_MERGE,	/* a contact known only by it is joined */
	MA_IDENTITY_REFUSE, /* an error */
	MA_IDENTITY_ALLOW	/* two contacts */
} MaIdentity;

/* When does what happens to contacts reach lists and scores? */
typedef enum MaRefreshMode
{
	MA_REFRESH_IMMEDIATE, /* within the statement */
	MA_REFRESH_DEFERRED	  /* soon after the commit */
} MaRefreshMode;

extern void ma_guc_init(void);

#endif /* MA_GUC_H */
