/*
 * liquid_array.c
 *	  Liquid: filters on arrays, and those on strings and arrays alike.
 *
 * Input that is no array becomes one: nil has no items, a range its numbers,
 * everything else is the only item. Arrays in arrays are made flat.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "liquid.h"

/* What an item is sorted by. */
typedef struct SortItem
{
	LqValue key;
	int		place; /* in the input, to keep the order of equals */
} SortItem;

/* What a scan of where and its like does with each item. */
typedef enum ScanResult
{
	SCAN_NO,
	SCAN_YES,
	SCAN_END /* an item has no properties at all */
} ScanResult;

static int64	  flat_count(const LqValue *value);
static void		  push_flat(LqValue *array, const LqValue *value);
static ScanResult scan_item(LqRender *r, const LqValue *item,
							const LqValue *args, int nargs);
static LqValue	  select_items(LqRender *r, const LqValue *in,
							   const LqValue *args, int nargs, ScanResult wanted);
static int	   find_item(LqRender *r, const LqValue *in, const LqValue *args,
						 int nargs, LqValue *list);
static LqValue sort_items(LqRender *r, const LqValue *in, const LqValue *args,
						  int nargs, bool natural);
static int	   compare_items(const void *a, const void *b, void *arg);
static int	   compare_natural(const void *a, const void *b, void *arg);
static LqValue slice_string(LqValue text, int64 from, int64 length);

/*
 * The input of an array filter as a flat array.
 */
LqValue
ma_liquid_list(LqRender *r, const LqValue *value)
{
	LqValue array;

	if (value->kind == LQ_NIL)
		return ma_liquid_array(r, 0);
	array = ma_liquid_array(r, flat_count(value));
	push_flat(&array, value);
	return array;
}

/*
 * How many items a value has when it is made flat.
 */
static int64
flat_count(const LqValue *value)
{
	int64 n = 0;

	check_stack_depth();
	if (value->kind == LQ_RANGE)
		return ma_liquid_count(value);
	if (!ma_liquid_listable(value))
		return 1;
	for (int64 i = 0; i < ma_liquid_count(value); i++)
	{
		LqValue item = ma_liquid_item(value, i);

		n += flat_count(&item);
	}
	return n;
}

/*
 * Append the items of a value.
 */
static void
push_flat(LqValue *array, const LqValue *value)
{
	if (!ma_liquid_listable(value))
	{
		ma_liquid_push(array, *value);
		return;
	}
	for (int64 i = 0; i < ma_liquid_count(value); i++)
	{
		LqValue item = ma_liquid_item(value, i);

		push_flat(array, &item);
	}
}

/*
 * item[property] for filters: of an object a property; of a string the
 * property itself if it is a part of it; of an integer one of its bits. False
 * if the item has no properties; an error if the property cannot be one of
 * this item.
 */
static bool
member(LqRender *r, const LqValue *item, const LqValue *property,
	   LqValue *result)
{
	*result = ma_liquid_nil();
	switch (item->kind)
	{
		case LQ_OBJECT:
			if (property->kind == LQ_STRING &&
				!ma_liquid_property(item, property->string.data,
									property->string.len, result))
				*result = ma_liquid_nil();
			return true;
		case LQ_STRING:
			if (property->kind == LQ_STRING)
			{
				if (ma_liquid_contains(r, item, property))
					*result = *property;
				return true;
			}
			if (property->kind == LQ_INTEGER)
			{
				LqValue part = ma_liquid_filter_slice(r, item, property, 1);

				if (part.string.len > 0)
					*result = part;
				return true;
			}
			break;
		case LQ_INTEGER:
			if (property->kind == LQ_INTEGER)
			{
				int64 bit = Min(Max(property->integer, 0), 63);

				*result = ma_liquid_integer((item->integer >> bit) & 1);
				return true;
			}
			break;
		default:
			return false;
	}
	ma_liquid_error(r, "an item of the array has no such property");
}

/*
 * Is an item's property true, or equal to args[1] where that is given?
 */
static ScanResult
scan_item(LqRender *r, const LqValue *item, const LqValue *args, int nargs)
{
	LqValue value;
	bool	yes;

	CHECK_FOR_INTERRUPTS();
	if (!member(r, item, &args[0], &value))
		return SCAN_END;
	if (nargs > 1 && args[1].kind != LQ_NIL)
		yes = ma_liquid_equal(r, &value, &args[1]);
	else
		yes = ma_liquid_true(&value);
	return yes ? SCAN_YES : SCAN_NO;
}

/*
 * The items with the wanted answer; nil if one has no properties at all.
 */
static LqValue
select_items(LqRender *r, const LqValue *in, const LqValue *args, int nargs,
			 ScanResult wanted)
{
	LqValue list = ma_liquid_list(r, in);
	LqValue result = ma_liquid_array(r, list.array.count);

	for (int i = 0; i < list.array.count; i++)
	{
		ScanResult answer = scan_item(r, &list.array.items[i], args, nargs);

		if (answer == SCAN_END)
			return ma_liquid_nil();
		if (answer == wanted)
			ma_liquid_push(&result, list.array.items[i]);
	}
	return result;
}

LqValue
ma_liquid_filter_where(LqRender *r, const LqValue *in, const LqValue *args,
					   int nargs)
{
	return select_items(r, in, args, nargs, SCAN_YES);
}

LqValue
ma_liquid_filter_reject(LqRender *r, const LqValue *in, const LqValue *args,
						int nargs)
{
	return select_items(r, in, args, nargs, SCAN_NO);
}

/*
 * The place of the first item with the answer yes; -1 if there is none, -2 if
 * an item before it has no properties at all.
 */
static int
find_item(LqRender *r, const LqValue *in, const LqValue *args, int nargs,
		  LqValue *list)
{
	*list = ma_liquid_list(r, in);
	for (int i = 0; i < list->array.count; i++)
	{
		ScanResult answer = scan_item(r, &list->array.items[i], args, nargs);

		if (answer != SCAN_NO)
			return answer == SCAN_YES ? i : -2;
	}
	return -1;
}

LqValue
ma_liquid_filter_find(LqRender *r, const LqValue *in, const LqValue *args,
					  int nargs)
{
	LqValue list;
	int		i = find_item(r, in, args, nargs, &list);

	return i >= 0 ? list.array.items[i] : ma_liquid_nil();
}

LqValue
ma_liquid_filter_find_index(LqRender *r, const LqValue *in,
							const LqValue *args, int nargs)
{
	LqValue list;
	int		i = find_item(r, in, args, nargs, &list);

	return i >= 0 ? ma_liquid_integer(i) : ma_liquid_nil();
}

LqValue
ma_liquid_filter_has(LqRender *r, const LqValue *in, const LqValue *args,
					 int nargs)
{
	LqValue list;
	int		i = find_item(r, in, args, nargs, &list);

	return i == -2 ? ma_liquid_nil() : ma_liquid_boolean(i >= 0);
}

/*
 * The property of each item.
 */
LqValue
ma_liquid_filter_map(LqRender *r, const LqValue *in, const LqValue *args,
					 int nargs)
{
	LqValue list = ma_liquid_list(r, in);

	for (int i = 0; i < list.array.count; i++)
	{
		LqValue item = list.array.items[i];

		CHECK_FOR_INTERRUPTS();
		member(r, &item, &args[0], &list.array.items[i]);
	}
	return list;
}

/*
 * The items that are not nil, or whose property is not.
 */
LqValue
ma_liquid_filter_compact(LqRender *r, const LqValue *in, const LqValue *args,
						 int nargs)
{
	LqValue list = ma_liquid_list(r, in);
	int		kept = 0;

	for (int i = 0; i < list.array.count; i++)
	{
		LqValue item = list.array.items[i];
		LqValue key = item;

		if (nargs > 0 && args[0].kind != LQ_NIL && item.kind != LQ_NIL)
			member(r, &item, &args[0], &key);
		if (key.kind != LQ_NIL)
			list.array.items[kept++] = item;
	}
	list.array.count = kept;
	return list;
}

/*
 * The items, or those with different properties, once each.
 */
LqValue
ma_liquid_filter_uniq(LqRender *r, const LqValue *in, const LqValue *args,
					  int nargs)
{
	LqValue list = ma_liquid_list(r, in);
	LqValue keys = ma_liquid_array(r, list.array.count);
	int		kept = 0;

	for (int i = 0; i < list.array.count; i++)
	{
		LqValue item = list.array.items[i];
		LqValue key = item;
		bool	seen = false;

		if (nargs > 0 && args[0].kind != LQ_NIL)
			member(r, &item, &args[0], &key);
		ma_liquid_charge(r, kept * sizeof(LqValue));
		for (int k = 0; k < kept && !seen; k++)
			seen = keys.array.items[k].kind == key.kind &&
				   ma_liquid_equal(r, &keys.array.items[k], &key);
		if (seen)
			continue;
		ma_liquid_push(&keys, key);
		list.array.items[kept++] = item;
	}
	list.array.count = kept;
	return list;
}

/*
 * The items of both.
 */
LqValue
ma_liquid_filter_concat(LqRender *r, const LqValue *in, const LqValue *args,
						int nargs)
{
	LqValue list = ma_liquid_list(r, in);
	LqValue result;
	int64	more = ma_liquid_count(&args[0]);

	if (!ma_liquid_listable(&args[0]))
		ma_liquid_error(r, "concat needs an array");
	if (more > LQ_MAX_ITEMS)
		more = LQ_MAX_ITEMS;
	result = ma_liquid_array(r, list.array.count + more);
	for (int i = 0; i < list.array.count; i++)
		ma_liquid_push(&result, list.array.items[i]);
	for (int64 i = 0; i < more; i++)
		ma_liquid_push(&result, ma_liquid_item(&args[0], i));
	return result;
}

LqValue
ma_liquid_filter_reverse(LqRender *r, const LqValue *in, const LqValue *args,
						 int nargs)
{
	LqValue list = ma_liquid_list(r, in);
	LqValue result = ma_liquid_array(r, list.array.count);

	for (int i = list.array.count - 1; i >= 0; i--)
		ma_liquid_push(&result, list.array.items[i]);
	return result;
}

/*
 * The items as one string, args[0] (a space) in between.
 */
LqValue
ma_liquid_filter_join(LqRender *r, const LqValue *in, const LqValue *args,
					  int nargs)
{
	LqValue		   list = ma_liquid_list(r, in);
	LqValue		   glue = ma_liquid_string(" ", 1);
	StringInfoData buffer;

	if (nargs > 0)
		glue = ma_liquid_text(r, &args[0]);
	initStringInfo(&buffer);
	for (int i = 0; i < list.array.count; i++)
	{
		LqValue item = ma_liquid_text(r, &list.array.items[i]);

		if (i > 0)
			ma_liquid_add(r, &buffer, glue.string.data, glue.string.len);
		ma_liquid_add(r, &buffer, item.string.data, item.string.len);
	}
	return ma_liquid_buffer(r, &buffer);
}

LqValue
ma_liquid_filter_first(LqRender *r, const LqValue *in, const LqValue *args,
					   int nargs)
{
	return ma_liquid_end(in, false);
}

LqValue
ma_liquid_filter_last(LqRender *r, const LqValue *in, const LqValue *args,
					  int nargs)
{
	return ma_liquid_end(in, true);
}

/*
 * How many items, pairs or characters; 0 of what has none.
 */
LqValue
ma_liquid_filter_size(LqRender *r, const LqValue *in, const LqValue *args,
					  int nargs)
{
	if (in->kind == LQ_STRING)
		return ma_liquid_integer(
			pg_mbstrlen_with_len(in->string.data, in->string.len));
	if (in->kind == LQ_OBJECT)
		return ma_liquid_integer(JsonContainerSize(in->json));
	return ma_liquid_integer(ma_liquid_count(in));
}

/*
 * args[1] (1) items or characters from args[0] on, which counts from the end
 * if negative.
 */
LqValue
ma_liquid_filter_slice(LqRender *r, const LqValue *in, const LqValue *args,
					   int nargs)
{
	int64	from = ma_liquid_to_integer(r, &args[0]);
	int64	length = 1;
	int64	count;
	LqValue result;

	if (nargs > 1 && args[1].kind != LQ_NIL)
		length = ma_liquid_to_integer(r, &args[1]);
	if (!ma_liquid_listable(in))
		return slice_string(ma_liquid_text(r, in), from, length);

	count = ma_liquid_count(in);
	if (from < 0)
		from += count;
	length = Min(Max(length, 0), count - from);
	if (from < 0 || length <= 0)
		return ma_liquid_array(r, 0);
	result = ma_liquid_array(r, length);
	for (int64 i = 0; i < length; i++)
		ma_liquid_push(&result, ma_liquid_item(in, from + i));
	return result;
}

/*
 * The same of a string.
 */
static LqValue
slice_string(LqValue text, int64 from, int64 length)
{
	const char *p = text.string.data;
	const char *end = p + text.string.len;
	const char *start;

	if (from < 0)
		from += pg_mbstrlen_with_len(p, text.string.len);
	if (from < 0 || length <= 0)
		return ma_liquid_string("", 0);
	for (; from > 0 && p < end; from--)
		p += pg_mblen(p);
	start = p;
	for (; length > 0 && p < end; length--)
		p += pg_mblen(p);
	return ma_liquid_string(start, p - start);
}

/*
 * The items, sorted by themselves or a property; natural: as strings.
 */
static LqValue
sort_items(LqRender *r, const LqValue *in, const LqValue *args, int nargs,
		   bool natural)
{
	LqValue	  list = ma_liquid_list(r, in);
	int		  n = list.array.count;
	LqValue	  result = ma_liquid_array(r, n);
	SortItem *items = palloc(Max(n, 1) * sizeof(SortItem));

	for (int i = 0; i < n; i++)
	{
		items[i].key = list.array.items[i];
		items[i].place = i;
		if (nargs > 0 && args[0].kind != LQ_NIL &&
			!member(r, &list.array.items[i], &args[0], &items[i].key))
			return ma_liquid_nil();
		if (natural && items[i].key.kind != LQ_NIL)
			items[i].key = ma_liquid_text(r, &items[i].key);
	}
	qsort_arg(items, n, sizeof(SortItem),
			  natural ? compare_natural : compare_items, r);
	for (int i = 0; i < n; i++)
		ma_liquid_push(&result, list.array.items[items[i].place]);
	return result;
}

/*
 * Numbers and strings in their order, nil last.
 */
static int
compare_items(const void *a, const void *b, void *arg)
{
	const SortItem *x = a;
	const SortItem *y = b;
	int				order;

	CHECK_FOR_INTERRUPTS();
	if (x->key.kind == LQ_NIL || y->key.kind == LQ_NIL)
		order = (x->key.kind == LQ_NIL) - (y->key.kind == LQ_NIL);
	else if (!ma_liquid_compare(arg, &x->key, &y->key, &order))
		ma_liquid_error(arg, "values of these types cannot be sorted");
	return order != 0 ? order : x->place - y->place;
}

/*
 * Everything as a string, without regard to case, nil last.
 */
static int
compare_natural(const void *a, const void *b, void *arg)
{
	const SortItem *x = a;
	const SortItem *y = b;
	int				order;

	CHECK_FOR_INTERRUPTS();
	order = (x->key.kind == LQ_NIL) - (y->key.kind == LQ_NIL);
	if (x->key.kind == LQ_STRING && y->key.kind == LQ_STRING)
	{
		int len = Min(x->key.string.len, y->key.string.len);

		order = pg_strncasecmp(x->key.string.data, y->key.string.data, len);
		if (order == 0)
			order = x->key.string.len - y->key.string.len;
	}
	return order != 0 ? order : x->place - y->place;
}

LqValue
ma_liquid_filter_sort(LqRender *r, const LqValue *in, const LqValue *args,
					  int nargs)
{
	return sort_items(r, in, args, nargs, false);
}

LqValue
ma_liquid_filter_sort_natural(LqRender *r, const LqValue *in,
							  const LqValue *args, int nargs)
{
	return sort_items(r, in, args, nargs, true);
}
