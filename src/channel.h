/*
 * channel.h
 *	  By which way messages leave.
 */
#ifndef MA_CHANNEL_H
#define MA_CHANNEL_H

/* What takes the messages of a channel. */
typedef enum MaChannelTransport
{
	MA_CHANNEL_LOG, /* nobody: recorded as sent */
	MA_CHANNEL_SMTP /* a mail relay */
} MaChannelTransport;

/* A channel. The settings are those of smtp; NULL is the default. */
typedef struct MaChannel
{
	int				   channel_id;
	MaChannelTransport transport;
	char			  *name;
	uint32			   revision; /* differs when the settings do */
	char			  *host;
	int				   port;
	char			  *tls;
	bool			   verify; /* the certificate */
	char			  *ca_file;
	char			  *user;
	char			  *password_file; /* bare name */
	char			  *from;		  /* address */
	char			  *from_name;
	char			  *reply_to; /* address */
	int				   connections;
	bool			   hold_in_doubt; /* else send again */
} MaChannel;

extern const MaChannel *ma_channel_find(int channel_id);
extern const MaChannel *ma_channel_all(int *n);
extern const MaChannel *ma_channel_named(const char *name);

#endif /* MA_CHANNEL_H */
