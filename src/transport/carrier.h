/*
 * carrier.h
 *	  One connection, of whichever kind is configured.
 */
#ifndef CARRIER_H
#define CARRIER_H

#include "config.h"
#include "http.h"
#include "job.h"
#include "result.h"
#include "smtp.h"

typedef struct Carrier
{
	Smtp *smtp; /* KIND_SMTP, else NULL */
	Http *http; /* KIND_HTTP, else NULL */
	bool  has_url_file;
} Carrier;

extern bool carrier_init(Carrier *carrier, const Config *config);
extern void carrier_send(Carrier *carrier, Job *job, Result *result);
extern bool carrier_is_open(const Carrier *carrier);
extern void carrier_close(Carrier *carrier);
extern void carrier_free(Carrier *carrier);
extern void carrier_free_job(const Config *config, Job *job);

#endif /* CARRIER_H */
