/*
 * channel.h
 *	  By which way messages leave.
 */
#ifndef MA_CHANNEL_H
#define MA_CHANNEL_H

#include "utils/jsonb.h"

#include "pace.h"
#include "template.h"

/* What takes the messages of a channel. */
typedef enum MaChannelTransport
{
	MA_CHANNEL_LOG,	 /* nobody: recorded as sent */
	MA_CHANNEL_SMTP, /* mail relays */
	MA_CHANNEL_HTTP	 /* web servers */
} MaChannelTransport;

/*
 * A mail relay; also, without host and what only mail has, how to log in to a
 * web server. NULL is the default.
 */
typedef struct MaRelay
{
	char *host;
	int	  port;
	int	  weight; /* its share of the connections */
	char *tls;
	bool  verify; /* the certificate */
	char *ca_file;
	char *user;
	char *auth;
	char *password_file; /* bare name */
} MaRelay;

/* What only http channels have. A part that is NULL is not wanted. */
typedef struct MaChannelHttp
{
	char			 *method;
	MaTemplate		 *url;		  /* NULL: in url_file */
	char			 *url_file;	  /* bare name */
	bool			  one_server; /* the URL is the same for all */
	int				  header_count;
	char			**header_names;
	MaTemplate		**header_values;
	struct MaPayload *body;		  /* JSON */
	struct MaPayload *form;		  /* an object, sent as a form */
	MaTemplate		 *text;		  /* any text */
	char			 *token_file; /* bare name */
	char			 *token_header;
	char			 *token_prefix;
	char			 *sign_file; /* bare name */
	char			 *sign_header;
	char			 *time_header;
	char			 *success; /* statuses, with commas between them */
	char			 *retry;   /* likewise */
	char			 *path;	   /* of what in the response must be ... */
	char			 *values;  /* ... one of these, with LF between them */
	char			 *retry_values; /* or one of these to try again */
	char			 *id_path;		/* of the gateway's id */
	bool			  allow_private;
} MaChannelHttp;

/* A channel. The settings are those of its transport. */
typedef struct MaChannel
{
	int				   channel_id;
	MaChannelTransport transport;
	char			  *name;
	bool			   dropped;
	char			  *recipient; /* as in gate.h */
	uint32			   revision;  /* differs when the settings do */
	Jsonb			  *settings;  /* as they are given, over their preset */
	MaRelay			   relay;	  /* as set for the whole channel */
	MaRelay			  *relays;	  /* smtp: at least one */
	int				   relay_count;
	char			  *helo;
	char			  *from; /* smtp: an address; http: what they call it */
	char			  *from_name;
	char			  *reply_to;	/* address */
	char			  *links;		/* URL of the pages behind links */
	char			  *unsubscribe; /* address */
	char			  *list_id;
	char			  *feedback_id;
	int				   connections;
	int				   connect_ms; /* 0: the transport's default */
	int				   reply_ms;   /* likewise, and so below */
	int				   final_ms;
	int				   total_ms;
	int				   idle_ms;
	bool			   hold_in_doubt; /* else send again */
	MaPace			   pace;
	MaChannelHttp	   http;
} MaChannel;

extern const MaChannel *ma_channel_find(int channel_id);
extern const MaChannel *ma_channel_all(int *n);
extern const MaChannel *ma_channel_named(const char *name);

#endif /* MA_CHANNEL_H */
