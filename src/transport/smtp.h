/*
 * smtp.h
 *	  One connection to a relay.
 */
#ifndef SMTP_H
#define SMTP_H

#include "config.h"
#include "mail.h"
#include "result.h"

typedef struct Smtp Smtp;

extern Smtp *smtp_new(const Config *config);
extern void	 smtp_send(Smtp *smtp, Mail *mail, Result *result);
extern bool	 smtp_is_open(const Smtp *smtp);
extern void	 smtp_quit(Smtp *smtp);
extern void	 smtp_free(Smtp *smtp);

#endif /* SMTP_H */
