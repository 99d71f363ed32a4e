/*
 * liquid_date.c
 *	  Liquid: the date filter.
 *
 * A date is a string in any form PostgreSQL reads, seconds since 1970, or the
 * word now or today, which is the instant of the rendering. What has no zone
 * is meant in that of the rendering, in which everything is shown. What is no
 * date is left as it is.
 */
#include "postgres.h"

#include <ctype.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "liquid.h"
#include "template.h"

/* An instant, taken apart in a zone. */
typedef struct Moment
{
	struct pg_tm tm;
	fsec_t		 fsec;	 /* microseconds */
	int			 offset; /* seconds east of Greenwich */
	const char	*zone;	 /* its abbreviation */
	int64		 epoch;	 /* seconds since 1970 */
	int			 wday;	 /* 0 = Sunday */
	int			 yday;	 /* 1 = 1 January */
} Moment;

/* What stands between % and the letter. */
typedef struct Directive
{
	char pad;	 /* '0', ' ' or '-' for none; '\0': as usual */
	bool upper;	 /* ^ */
	bool swap;	 /* # */
	int	 width;	 /* 0: as usual */
	int	 colons; /* of %:z */
} Directive;

static const char *const month_names[] = {
	"January", "February", "March",		"April",   "May",	   "June",
	"July",	   "August",   "September", "October", "November", "December"};

static const char *const day_names[] = {"Sunday",	 "Monday",	 "Tuesday",
										"Wednesday", "Thursday", "Friday",
										"Saturday"};

static bool to_instant(LqRender *r, const LqValue *value, pg_tz *zone,
					   TimestampTz *result);
static bool epoch_to_instant(int64 epoch, TimestampTz *result);
static bool read_date(const char *text, pg_tz *zone, TimestampTz *result);
static bool decode(const char *text, struct pg_tm *tm, fsec_t *fsec, int *tz);
static bool take_apart(TimestampTz instant, pg_tz *zone, Moment *moment);
static void format_date(StringInfo out, const Moment *m, const char *format);
static const char *read_directive(const char *p, Directive *d);
static bool		   format_number(StringInfo out, const Moment *m, char letter,
								 const Directive *d);
static bool		   format_name(StringInfo out, const Moment *m, char letter,
							   const Directive *d);
static bool		   format_whole(StringInfo out, const Moment *m, char letter);
static void		   put_number(StringInfo out, int64 value, int width, char pad,
							  const Directive *d);
static void		   put_offset(StringInfo out, int offset, int colons);
static int		   hour12(const Moment *m);

/*
 * The date in the form of args[0], which is one of strftime.
 */
LqValue
ma_liquid_filter_date(LqRender *r, const LqValue *in, const LqValue *args,
					  int nargs)
{
	LqValue		   format = ma_liquid_text(r, &args[0]);
	pg_tz		  *zone = r->options->zone;
	TimestampTz	   instant;
	Moment		   moment;
	StringInfoData buffer;

	if (zone == NULL)
		zone = pg_tzset("GMT");
	if (format.string.len == 0 || !to_instant(r, in, zone, &instant) ||
		!take_apart(instant, zone, &moment))
		return *in;
	initStringInfo(&buffer);
	format_date(&buffer, &moment,
				pnstrdup(format.string.data, format.string.len));
	return ma_liquid_buffer(r, &buffer);
}

/*
 * Read a value as an instant. False if it is none.
 */
static bool
to_instant(LqRender *r, const LqValue *value, pg_tz *zone, TimestampTz *result)
{
	char *text;
	int64 epoch;

	if (value->kind == LQ_INTEGER)
		return epoch_to_instant(value->integer, result);
	if (value->kind != LQ_STRING || value->string.len > MAXDATELEN)
		return false;

	text = pnstrdup(value->string.data, value->string.len);
	if (pg_strcasecmp(text, "now") == 0 || pg_strcasecmp(text, "today") == 0)
	{
		*result = r->options->now;
		return true;
	}
	if (*text != '\0' && strspn(text, "0123456789") == strlen(text))
	{
		errno = 0;
		epoch = strtoll(text, NULL, 10);
		return errno == 0 && epoch_to_instant(epoch, result);
	}
	return read_date(text, zone, result);
}

/*
 * Seconds since 1970 as an instant. False if it is out of range.
 */
static bool
epoch_to_instant(int64 epoch, TimestampTz *result)
{
	const int64 shift =
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY;

	if (epoch < MIN_TIMESTAMP / USECS_PER_SEC ||
		epoch > END_TIMESTAMP / USECS_PER_SEC)
		return false;
	*result = (epoch - shift) * USECS_PER_SEC;
	return IS_VALID_TIMESTAMP(*result);
}

/*
 * Read a written date. False if it is none, or one of the words that would
 * mean the clock of the server.
 */
static bool
read_date(const char *text, pg_tz *zone, TimestampTz *result)
{
	static const char *const words[] = {"now", "today", "tomorrow",
										"yesterday"};
	struct pg_tm			 tm;
	fsec_t					 fsec;
	int						 tz;

	for (int w = 0; w < lengthof(words); w++)
	{
		if (strcasestr(text, words[w]) != NULL)
			return false;
	}
	/* Without room for a zone, a date with one is refused. */
	if (decode(text, &tm, &fsec, NULL))
		tz = DetermineTimeZoneOffset(&tm, zone);
	else if (!decode(text, &tm, &fsec, &tz))
		return false;
	return tm2timestamp(&tm, fsec, &tz, result) == 0;
}

/*
 * Take a written date apart as PostgreSQL does. False if it is none.
 */
static bool
decode(const char *text, struct pg_tm *tm, fsec_t *fsec, int *tz)
{
	char  work[MAXDATELEN + MAXDATEFIELDS];
	char *field[MAXDATEFIELDS];
	int	  ftype[MAXDATEFIELDS];
	int	  nf;
	int	  dtype;

	return ParseDateTime(text, work, sizeof(work), field, ftype, MAXDATEFIELDS,
						 &nf) == 0 &&
		   ma_decode_datetime(field, ftype, nf, &dtype, tm, fsec, tz) == 0 &&
		   dtype == DTK_DATE;
}

/*
 * Take an instant apart.
 */
static bool
take_apart(TimestampTz instant, pg_tz *zone, Moment *m)
{
	int tz;
	int jd;

	if (TIMESTAMP_NOT_FINITE(instant) ||
		timestamp2tm(instant, &tz, &m->tm, &m->fsec, &m->zone, zone) != 0)
		return false;
	jd = date2j(m->tm.tm_year, m->tm.tm_mon, m->tm.tm_mday);
	m->offset = -tz;
	m->epoch =
		instant / USECS_PER_SEC - (instant % USECS_PER_SEC < 0) +
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY;
	m->wday = j2day(jd);
	m->yday = jd - date2j(m->tm.tm_year, 1, 1) + 1;
	return true;
}

/*
 * Append a date in a form. A directive nobody knows stands for itself.
 */
static void
format_date(StringInfo out, const Moment *m, const char *format)
{
	const char *p = format;

	while (*p)
	{
		const char *start = p;
		Directive	d;
		char		letter;

		if (*p != '%')
		{
			appendStringInfoChar(out, *p++);
			continue;
		}
		p = read_directive(p + 1, &d);
		letter = *p;
		if (letter != '\0' &&
			(format_number(out, m, letter, &d) ||
			 format_name(out, m, letter, &d) || format_whole(out, m, letter)))
			p++;
		else if (letter == 'z')
		{
			put_offset(out, m->offset, d.colons);
			p++;
		}
		else
			appendBinaryStringInfo(out, start, p - start);
	}
}

/*
 * Read what stands between % and the letter.
 */
static const char *
read_directive(const char *p, Directive *d)
{
	memset(d, 0, sizeof(Directive));
	for (; *p != '\0' && strchr("-0^#_", *p); p++)
	{
		if (*p == '^')
			d->upper = true;
		else if (*p == '#')
			d->swap = true;
		else
			d->pad = *p == '_' ? ' ' : *p;
	}
	for (; isdigit((unsigned char) *p); p++)
		d->width = Min(d->width * 10 + (*p - '0'), 100);
	for (; *p == ':'; p++)
		d->colons++;
	return p;
}

/*
 * Append a directive that is a number. False if it is none of them.
 */
static bool
format_number(StringInfo out, const Moment *m, char letter, const Directive *d)
{
	int year = m->tm.tm_year;
	int month = m->tm.tm_mon;
	int day = m->tm.tm_mday;
	const struct
	{
		char  letter;
		int64 value;
		int	  width;
		char  pad;
	} numbers[] = {
		{'Y', year, 1, '0'},
		{'C', year / 100, 2, '0'},
		{'y', year % 100, 2, '0'},
		{'m', month, 2, '0'},
		{'d', day, 2, '0'},
		{'e', day, 2, ' '},
		{'j', m->yday, 3, '0'},
		{'H', m->tm.tm_hour, 2, '0'},
		{'k', m->tm.tm_hour, 2, ' '},
		{'I', hour12(m), 2, '0'},
		{'l', hour12(m), 2, ' '},
		{'M', m->tm.tm_min, 2, '0'},
		{'S', m->tm.tm_sec, 2, '0'},
		{'s', m->epoch, 1, '0'},
		{'u', m->wday == 0 ? 7 : m->wday, 1, '0'},
		{'w', m->wday, 1, '0'},
		{'G', date2isoyear(year, month, day), 4, '0'},
		{'g', date2isoyear(year, month, day) % 100, 2, '0'},
		{'V', date2isoweek(year, month, day), 2, '0'},
		{'U', (m->yday + 6 - m->wday) / 7, 2, '0'},
		{'W', (m->yday + 6 - (m->wday + 6) % 7) / 7, 2, '0'},
	};

	for (int i = 0; i < lengthof(numbers); i++)
	{
		if (numbers[i].letter != letter)
			continue;
		put_number(out, numbers[i].value, numbers[i].width, numbers[i].pad, d);
		return true;
	}
	if (letter != 'L' && letter != 'N')
		return false;

	/* fractions of a second: as many digits as the width says */
	{
		char *digits = psprintf("%06d000", (int) m->fsec);
		int	  width = d->width ? d->width : letter == 'L' ? 3 : 9;

		for (int i = 0; i < width; i++)
			appendStringInfoChar(out, i < 9 ? digits[i] : '0');
	}
	return true;
}

/*
 * The hour on a clock of twelve.
 */
static int
hour12(const Moment *m)
{
	int hour = m->tm.tm_hour % 12;

	return hour == 0 ? 12 : hour;
}

/*
 * Append a number at its width.
 */
static void
put_number(StringInfo out, int64 value, int width, char pad,
		   const Directive *d)
{
	char *text = psprintf(INT64_FORMAT, value);

	if (d->pad)
		pad = d->pad;
	if (d->width)
		width = d->width;
	for (int i = strlen(text); i < width && pad != '-'; i++)
		appendStringInfoChar(out, pad);
	appendStringInfoString(out, text);
}

/*
 * Append a directive that is a word. False if it is none of them.
 */
static bool
format_name(StringInfo out, const Moment *m, char letter, const Directive *d)
{
	const char *name;
	int			len = 0; /* 0: all of it */
	bool		upper = d->upper;
	bool		lower = false;

	switch (letter)
	{
		case 'A':
		case 'a':
			name = day_names[m->wday];
			len = letter == 'a' ? 3 : 0;
			upper |= d->swap;
			break;
		case 'B':
		case 'b':
		case 'h':
			name = month_names[m->tm.tm_mon - 1];
			len = letter == 'B' ? 0 : 3;
			upper |= d->swap;
			break;
		case 'p':
		case 'P':
			name = m->tm.tm_hour < 12 ? "AM" : "PM";
			lower = letter == 'P' || d->swap;
			break;
		case 'Z':
			name = m->zone ? m->zone : "";
			lower = d->swap;
			break;
		default:
			return false;
	}
	if (len == 0)
		len = strlen(name);
	for (int i = len; i < d->width; i++)
		appendStringInfoChar(out, d->pad == '0' ? '0' : ' ');
	for (int i = 0; i < len; i++)
		appendStringInfoChar(out, upper ? pg_ascii_toupper(name[i]) :
								  lower ? pg_ascii_tolower(name[i]) :
										  name[i]);
	return true;
}

/*
 * Append a directive that stands for others, or for a character. False if it
 * is none of them.
 */
static bool
format_whole(StringInfo out, const Moment *m, char letter)
{
	static const struct
	{
		char		letter;
		const char *format;
	} wholes[] = {
		{'c', "%a %b %e %H:%M:%S %Y"},
		{'D', "%m/%d/%y"},
		{'F', "%Y-%m-%d"},
		{'R', "%H:%M"},
		{'r', "%I:%M:%S %p"},
		{'T', "%H:%M:%S"},
		{'v', "%e-%^b-%Y"},
		{'X', "%H:%M:%S"},
		{'x', "%m/%d/%y"},
		{'+', "%a %b %e %H:%M:%S %Z %Y"},
	};

	for (int i = 0; i < lengthof(wholes); i++)
	{
		if (wholes[i].letter != letter)
			continue;
		format_date(out, m, wholes[i].format);
		return true;
	}
	if (letter == '%')
		appendStringInfoChar(out, '%');
	else if (letter == 'n')
		appendStringInfoChar(out, '\n');
	else if (letter == 't')
		appendStringInfoChar(out, '\t');
	else
		return false;
	return true;
}

/*
 * Append the offset from Greenwich: +hhmm, +hh:mm or +hh:mm:ss.
 */
static void
put_offset(StringInfo out, int offset, int colons)
{
	int seconds = abs(offset);

	appendStringInfo(out, "%c%02d%s%02d", offset < 0 ? '-' : '+',
					 seconds / SECS_PER_HOUR, colons > 0 ? ":" : "",
					 seconds / SECS_PER_MINUTE % 60);
	if (colons > 1)
		appendStringInfo(out, ":%02d", seconds % SECS_PER_MINUTE);
}
