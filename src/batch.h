/*
 * batch.h
 *	  Columns of a set, as the arrays that a statement unnests, and its ids.
 */
#ifndef MA_BATCH_H
#define MA_BATCH_H

/* One column, filled row by row. */
typedef struct MaColumn
{
	Oid	   type;   /* of the elements */
	int16  typlen; /* its storage */
	bool   typbyval;
	char   typalign;
	int	   n;	/* rows so far */
	int	   max; /* rows there is room for */
	Datum *values;
	bool  *nulls;
} MaColumn;

extern void	 ma_column_init(MaColumn *column, Oid type, int max);
extern void	 ma_column_add(MaColumn *column, Datum value, bool isnull);
extern void	 ma_column_add_text(MaColumn *column, const char *value);
extern Datum ma_column_array(const MaColumn *column);

extern int ma_batch_compare_ids(const void *a, const void *b);
extern int ma_batch_sort_ids(int64 *ids, int n);

#endif /* MA_BATCH_H */
