/*
 * pace.c
 *	  How fast messages may leave a channel: the settings, read and checked.
 *
 * They are read when a channel is defined, where a mistake is told, and when
 * it is loaded. Whatever its transport, a channel can have
 *
 *		"rate": {"per_second" | "per_minute" | "per_hour": n, "burst": n}
 *		"domains": {"gmail.com": {"rate", "connections"}, "*": ...}
 *		"warm_up": [{"day", "messages"}, ...] or {"start", "growth", "days"}
 *		"pause_when": {"failures": share, "of": n}
 *		"retries": {"first", "factor", "most", "spread", "give_up"}
 */
#include "postgres.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "address.h"
#include "compat.h"
#include "pace.h"

/* Bounds that no user means to exceed. */
#define NUMBER_MOST 1e9
#define SPAN_MOST	(365.0 * USECS_PER_DAY)

/* What is being read, for errors. */
typedef struct Place
{
	const char *channel;
	const char *path; /* of the setting, as in domains.gmail.com.rate */
} Place;

static void	 read_setting(MaPace *pace, const Place *place, JsonbValue *value);
static void	 read_rate(MaRate *rate, const Place *place, JsonbValue *value);
static void	 read_domains(MaPace *pace, const Place *place, JsonbValue *value);
static char *domain_of(const Place *place, const char *name);
static void	 read_domain(MaDomainPace *domain, const Place *place,
						 JsonbValue *value);
static void	 read_warm_up(MaPace *pace, const Place *place, JsonbValue *value);
static void	 read_warm_steps(MaPace *pace, const Place *place,
							 JsonbValue *value);
static void	 read_pause(MaPace *pace, const Place *place, JsonbValue *value);
static void	 read_retries(MaPace *pace, const Place *place, JsonbValue *value);
static Place below(const Place *place, const char *key);
static void	 check_keys(const Place *place, JsonbValue *value,
						const char *keys);
static bool find_field(JsonbValue *object, const char *key, JsonbValue *value);
static double number_field(const Place *place, JsonbValue *object,
						   const char *key, double least, double otherwise);
static int count_field(const Place *place, JsonbValue *object, const char *key,
					   int least, int otherwise);
static double			span_field(const Place *place, JsonbValue *object,
								   const char *key, double otherwise);
static double			span_value(const Place *place, JsonbValue *value);
pg_noreturn static void wrong(const Place *place, const char *expected);

/*
 * Reads those that are ours from the settings of a channel, into the current
 * context.
 */
void
ma_pace_read(MaPace *pace, const char *channel, Jsonb *settings)
{
	JsonbIterator	  *it = JsonbIteratorInit(&settings->root);
	JsonbIteratorToken token;
	JsonbValue		   value;

	memset(pace, 0, sizeof(*pace));
	pace->retry_first = 60.0 * USECS_PER_SEC;
	pace->retry_factor = 2;
	pace->retry_most = 1.0 * USECS_PER_HOUR;
	pace->retry_spread = 0.2;
	pace->give_up = 5.0 * USECS_PER_DAY;
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		Place place = {channel};

		if (token != WJB_KEY)
			continue;
		place.path = pnstrdup(value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&it, &value, true);
		read_setting(pace, &place, &value);
	}
}

/* Reads one, if it is ours. */
static void
read_setting(MaPace *pace, const Place *place, JsonbValue *value)
{
	if (strcmp(place->path, "rate") == 0)
		read_rate(&pace->rate, place, value);
	else if (strcmp(place->path, "domains") == 0)
		read_domains(pace, place, value);
	else if (strcmp(place->path, "warm_up") == 0)
		read_warm_up(pace, place, value);
	else if (strcmp(place->path, "pause_when") == 0)
		read_pause(pace, place, value);
	else if (strcmp(place->path, "retries") == 0)
		read_retries(pace, place, value);
}

/* {"per_second" | "per_minute" | "per_hour": n, "burst": n} */
static void
read_rate(MaRate *rate, const Place *place, JsonbValue *value)
{
	static const struct
	{
		const char *key;
		double		span;
	} spans[] = {{"per_second", USECS_PER_SEC},
				 {"per_minute", USECS_PER_MINUTE},
				 {"per_hour", USECS_PER_HOUR},
				 {"per_day", USECS_PER_DAY}};
	int given = 0;

	check_keys(place, value,
			   "per_second, per_minute, per_hour, per_day, burst");
	for (int i = 0; i < lengthof(spans); i++)
	{
		double n = number_field(place, value, spans[i].key, 1e-6, 0);

		given += n > 0;
		if (n > 0)
			rate->interval = spans[i].span / n;
	}
	if (given != 1)
		wrong(place, "an object with one of \"per_second\", \"per_minute\", "
					 "\"per_hour\" and \"per_day\"");
	rate->burst =
		count_field(place, value, "burst", 1,
					(int) Max(1, floor(USECS_PER_SEC / rate->interval)));
}

/* {"gmail.com": {"rate", "connections"}, "*": ...} */
static void
read_domains(MaPace *pace, const Place *place, JsonbValue *value)
{
	JsonbIterator	  *it;
	JsonbIteratorToken token;
	JsonbValue		   item;

	if (value->type != jbvBinary ||
		!JsonContainerIsObject(value->val.binary.data))
		wrong(place, "an object like {\"gmail.com\": {\"connections\": 2}}");
	pace->domains = palloc0(sizeof(MaDomainPace) *
							(JsonContainerSize(value->val.binary.data) + 1));
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		MaDomainPace *domain = &pace->domains[pace->domain_count];
		Place		  inner;

		if (token != WJB_KEY)
			continue;
		domain->domain = pnstrdup(item.val.string.val, item.val.string.len);
		inner = below(place, domain->domain);
		domain->domain = domain_of(&inner, domain->domain);
		for (int i = 0; i < pace->domain_count; i++)
			if (strcmp(pace->domains[i].domain, domain->domain) == 0)
				wrong(&inner, "given once");
		(void) JsonbIteratorNext(&it, &item, true);
		read_domain(domain, &inner, &item);
		pace->domain_count++;
	}
}

/* A domain of addresses, as they are compared, or "*". */
static char *
domain_of(const Place *place, const char *name)
{
	char	   *address = psprintf("x@%s", name);
	const char *reason;

	if (strcmp(name, "*") == 0)
		return pstrdup(name);
	if (!ma_address_valid(address, &reason))
		wrong(place, "named by the domain of addresses, like \"gmail.com\", "
					 "or \"*\"");
	address = ma_address_normalise(address, NULL);
	return pstrdup(ma_address_domain(address));
}

/* {"rate", "connections"} */
static void
read_domain(MaDomainPace *domain, const Place *place, JsonbValue *value)
{
	JsonbValue rate;

	check_keys(place, value, "rate, connections");
	domain->connections = count_field(place, value, "connections", 1, 0);
	if (find_field(value, "rate", &rate))
	{
		Place inner = below(place, "rate");

		read_rate(&domain->rate, &inner, &rate);
	}
}

/* [{"day", "messages"}, ...] or {"start", "growth", "days"} */
static void
read_warm_up(MaPace *pace, const Place *place, JsonbValue *value)
{
	if (value->type == jbvBinary &&
		JsonContainerIsArray(value->val.binary.data))
	{
		read_warm_steps(pace, place, value);
		return;
	}
	check_keys(place, value, "start, growth, days");
	pace->warm_start = count_field(place, value, "start", 1, 0);
	pace->warm_growth = number_field(place, value, "growth", 1, 0);
	pace->warm_days = count_field(place, value, "days", 1, 30);
	if (pace->warm_start == 0 || pace->warm_growth == 0)
		wrong(place, "a list like [{\"day\": 1, \"messages\": 50}] or an "
					 "object with \"start\" and \"growth\"");
}

/* [{"day", "messages"}, ...] */
static void
read_warm_steps(MaPace *pace, const Place *place, JsonbValue *value)
{
	JsonbContainer *list = value->val.binary.data;
	int				n = JsonContainerSize(list);

	pace->warm_up = palloc0(sizeof(MaWarmStep) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		Place		inner = below(place, psprintf("%d", i));
		JsonbValue *item = getIthJsonbValueFromContainer(list, i);
		MaWarmStep *step = &pace->warm_up[i];

		check_keys(&inner, item, "day, messages");
		step->day = count_field(&inner, item, "day", 1, 0);
		step->messages = count_field(&inner, item, "messages", 0, -1);
		if (step->day == 0 || step->messages < 0 ||
			(i > 0 && step->day <= pace->warm_up[i - 1].day))
			wrong(&inner, "an object with \"day\" and \"messages\", with a "
						  "later day than the one before");
	}
	pace->warm_count = n;
}

/* {"failures": share, "of": n} */
static void
read_pause(MaPace *pace, const Place *place, JsonbValue *value)
{
	check_keys(place, value, "failures, of");
	pace->pause_failures = number_field(place, value, "failures", 0, -1);
	pace->pause_of = count_field(place, value, "of", 1, 200);
	if (pace->pause_failures < 0 || pace->pause_failures >= 1)
		wrong(place, "an object whose \"failures\" is a share from 0 to 1, "
					 "as in {\"failures\": 0.1, \"of\": 200}");
	if (pace->pause_of > 10000)
		wrong(place, "an object whose \"of\" is at most 10000");
}

/* {"first", "factor", "most", "spread", "give_up"} */
static void
read_retries(MaPace *pace, const Place *place, JsonbValue *value)
{
	check_keys(place, value, "first, factor, most, spread, give_up");
	pace->retry_first = span_field(place, value, "first", pace->retry_first);
	pace->retry_most = span_field(place, value, "most", pace->retry_most);
	pace->give_up = span_field(place, value, "give_up", pace->give_up);
	pace->retry_factor =
		number_field(place, value, "factor", 1, pace->retry_factor);
	pace->retry_spread =
		number_field(place, value, "spread", 0, pace->retry_spread);
	if (pace->retry_spread > 1)
		wrong(place, "an object whose \"spread\" is a share from 0 to 1");
}

/* What holds for the addresses of this domain, NULL if nothing. */
const MaDomainPace *
ma_pace_domain(const MaPace *pace, const char *domain)
{
	const MaDomainPace *other = NULL;

	for (int i = 0; i < pace->domain_count; i++)
	{
		if (strcmp(pace->domains[i].domain, domain) == 0)
			return &pace->domains[i];
		if (strcmp(pace->domains[i].domain, "*") == 0)
			other = &pace->domains[i];
	}
	return other;
}

/* Has the channel a warm-up? */
bool
ma_pace_warms_up(const MaPace *pace)
{
	return pace->warm_count > 0 || pace->warm_start > 0;
}

/*
 * How many messages may be sent on this day of the warm-up (1 is the first);
 * -1 when it is over.
 */
int
ma_pace_quota(const MaPace *pace, int day)
{
	int quota = 0;

	if (pace->warm_start > 0 && day <= pace->warm_days)
		return (int) Min(NUMBER_MOST,
						 pace->warm_start * pow(pace->warm_growth, day - 1));
	if (pace->warm_count == 0 || day > pace->warm_up[pace->warm_count - 1].day)
		return -1;
	for (int i = 0; i < pace->warm_count && pace->warm_up[i].day <= day; i++)
		quota = pace->warm_up[i].messages;
	return quota;
}

/* The place of a key within an object. */
static Place
below(const Place *place, const char *key)
{
	Place inner = {place->channel, psprintf("%s.%s", place->path, key)};

	return inner;
}

/* The value must be an object with no other than these keys. */
static void
check_keys(const Place *place, JsonbValue *value, const char *keys)
{
	JsonbIterator	  *it;
	JsonbIteratorToken token;
	JsonbValue		   item;

	if (value->type != jbvBinary ||
		!JsonContainerIsObject(value->val.binary.data))
		wrong(place, psprintf("an object with some of %s", keys));
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		char *key;
		char *found;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(item.val.string.val, item.val.string.len);
		found = strstr(keys, key);
		if (found == NULL || key[0] == '\0' || strpbrk(key, ", ") != NULL ||
			(found != keys && found[-1] != ' ') ||
			(found[strlen(key)] != ',' && found[strlen(key)] != '\0'))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown setting \"%s.%s\" of channel \"%s\"",
							place->path, key, place->channel),
					 errhint("There can be %s.", keys)));
	}
}

/* The value of a key of an object, if it has it. */
static bool
find_field(JsonbValue *object, const char *key, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(object->val.binary.data, key,
										strlen(key), value) != NULL;
}

/* A number, at least so much. */
static double
number_field(const Place *place, JsonbValue *object, const char *key,
			 double least, double otherwise)
{
	JsonbValue value;
	double	   number;

	if (!find_field(object, key, &value))
		return otherwise;
	number = value.type != jbvNumeric ?
				 -1 :
				 DatumGetFloat8(
					 DirectFunctionCall1(numeric_float8_no_overflow,
										 NumericGetDatum(value.val.numeric)));
	if (!(number >= least && number <= NUMBER_MOST))
	{
		Place inner = below(place, key);

		wrong(&inner, psprintf("a number from %g to %g", least, NUMBER_MOST));
	}
	return number;
}

/* A whole number, at least so much. */
static int
count_field(const Place *place, JsonbValue *object, const char *key, int least,
			int otherwise)
{
	double number = number_field(place, object, key, least, otherwise);

	if (number != floor(number))
	{
		Place inner = below(place, key);

		wrong(&inner, "a whole number");
	}
	return (int) number;
}

/* A length of time in us; a month has 30 days here. */
static double
span_field(const Place *place, JsonbValue *object, const char *key,
		   double otherwise)
{
	Place	   inner = below(place, key);
	JsonbValue value;

	return find_field(object, key, &value) ? span_value(&inner, &value) :
											 otherwise;
}

/* Error context: which setting. */
static void
name_place(void *arg)
{
	const Place *place = arg;

	errcontext("setting \"%s\" of channel \"%s\"", place->path,
			   place->channel);
}

/* The same of the value. */
static double
span_value(const Place *place, JsonbValue *value)
{
	static const char	 expected[] = "a length of time like \"10 minutes\"";
	ErrorContextCallback context = {.callback = name_place,
									.arg = unconstify(Place *, place)};
	Interval			*span;
	double				 us;

	if (value->type != jbvString)
		wrong(place, expected);
	context.previous = error_context_stack;
	error_context_stack = &context;
	span = DatumGetIntervalP(
		DirectFunctionCall3(interval_in,
							CStringGetDatum(pnstrdup(value->val.string.val,
													 value->val.string.len)),
							ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	error_context_stack = context.previous;
	us = span->time + (double) USECS_PER_DAY * span->day +
		 30.0 * USECS_PER_DAY * span->month;
	if (!(us >= 1000 && us <= SPAN_MOST))
		wrong(place, expected);
	return us;
}

/* The error of a setting that is not what it must be. */
static void
wrong(const Place *place, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("setting \"%s\" of channel \"%s\" must be %s",
						   place->path, place->channel, expected)));
}
