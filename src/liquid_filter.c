/*
 * liquid_filter.c
 *	  Liquid: the table of all filters.
 */
#include "postgres.h"

#include "liquid.h"

static const LqFilterDef filters[] = {
	/* strings */
	{"append", 1, 1, ma_liquid_filter_append},
	{"base64_decode", 0, 0, ma_liquid_filter_base64_decode},
	{"base64_encode", 0, 0, ma_liquid_filter_base64_encode},
	{"base64_url_safe_decode", 0, 0, ma_liquid_filter_base64_url_decode},
	{"base64_url_safe_encode", 0, 0, ma_liquid_filter_base64_url_encode},
	{"capitalize", 0, 0, ma_liquid_filter_capitalize},
	{"downcase", 0, 0, ma_liquid_filter_downcase},
	{"escape", 0, 0, ma_liquid_filter_escape},
	{"escape_once", 0, 0, ma_liquid_filter_escape_once},
	{"h", 0, 0, ma_liquid_filter_escape},
	{"lstrip", 0, 0, ma_liquid_filter_lstrip},
	{"newline_to_br", 0, 0, ma_liquid_filter_newline_to_br},
	{"prepend", 1, 1, ma_liquid_filter_prepend},
	{"raw", 0, 0, ma_liquid_filter_raw},
	{"remove", 1, 1, ma_liquid_filter_remove},
	{"remove_first", 1, 1, ma_liquid_filter_remove_first},
	{"remove_last", 1, 1, ma_liquid_filter_remove_last},
	{"replace", 1, 2, ma_liquid_filter_replace},
	{"replace_first", 1, 2, ma_liquid_filter_replace_first},
	{"replace_last", 2, 2, ma_liquid_filter_replace_last},
	{"rstrip", 0, 0, ma_liquid_filter_rstrip},
	{"split", 1, 1, ma_liquid_filter_split},
	{"strip", 0, 0, ma_liquid_filter_strip},
	{"strip_html", 0, 0, ma_liquid_filter_strip_html},
	{"strip_newlines", 0, 0, ma_liquid_filter_strip_newlines},
	{"truncate", 0, 2, ma_liquid_filter_truncate},
	{"truncatewords", 0, 2, ma_liquid_filter_truncatewords},
	{"upcase", 0, 0, ma_liquid_filter_upcase},
	{"url_decode", 0, 0, ma_liquid_filter_url_decode},
	{"url_encode", 0, 0, ma_liquid_filter_url_encode},
	/* numbers */
	{"abs", 0, 0, ma_liquid_filter_abs},
	{"at_least", 1, 1, ma_liquid_filter_at_least},
	{"at_most", 1, 1, ma_liquid_filter_at_most},
	{"ceil", 0, 0, ma_liquid_filter_ceil},
	{"divided_by", 1, 1, ma_liquid_filter_divided_by},
	{"floor", 0, 0, ma_liquid_filter_floor},
	{"minus", 1, 1, ma_liquid_filter_minus},
	{"modulo", 1, 1, ma_liquid_filter_modulo},
	{"plus", 1, 1, ma_liquid_filter_plus},
	{"round", 0, 1, ma_liquid_filter_round},
	{"sum", 0, 1, ma_liquid_filter_sum},
	{"times", 1, 1, ma_liquid_filter_times},
	/* arrays */
	{"compact", 0, 1, ma_liquid_filter_compact},
	{"concat", 1, 1, ma_liquid_filter_concat},
	{"find", 1, 2, ma_liquid_filter_find},
	{"find_index", 1, 2, ma_liquid_filter_find_index},
	{"first", 0, 0, ma_liquid_filter_first},
	{"has", 1, 2, ma_liquid_filter_has},
	{"join", 0, 1, ma_liquid_filter_join},
	{"last", 0, 0, ma_liquid_filter_last},
	{"map", 1, 1, ma_liquid_filter_map},
	{"reject", 1, 2, ma_liquid_filter_reject},
	{"reverse", 0, 0, ma_liquid_filter_reverse},
	{"size", 0, 0, ma_liquid_filter_size},
	{"slice", 1, 2, ma_liquid_filter_slice},
	{"sort", 0, 1, ma_liquid_filter_sort},
	{"sort_natural", 0, 1, ma_liquid_filter_sort_natural},
	{"uniq", 0, 1, ma_liquid_filter_uniq},
	{"where", 1, 2, ma_liquid_filter_where},
	/* dates, and anything */
	{"date", 1, 1, ma_liquid_filter_date},
	{"default", 0, 1, ma_liquid_filter_default},
};

/*
 * Find a filter by its name, NULL if there is none.
 */
const LqFilterDef *
ma_liquid_filter(const char *name, int len)
{
	for (int i = 0; i < lengthof(filters); i++)
	{
		if (strlen(filters[i].name) == len &&
			strncmp(filters[i].name, name, len) == 0)
			return &filters[i];
	}
	return NULL;
}

/*
 * The value, or args[0] if it is nil, false (unless args[1]) or empty.
 */
LqValue
ma_liquid_filter_default(LqRender *r, const LqValue *in, const LqValue *args,
						 int nargs)
{
	bool allow_false = nargs > 1 && ma_liquid_true(&args[1]);

	if (ma_liquid_empty(in) || in->kind == LQ_NIL ||
		(!allow_false && !ma_liquid_true(in)))
		return args[0];
	return *in;
}

/*
 * The value, which the parser knows is not to be escaped.
 */
LqValue
ma_liquid_filter_raw(LqRender *r, const LqValue *in, const LqValue *args,
					 int nargs)
{
	return *in;
}
