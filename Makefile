# mautomate: see README.md. The version is written once, in mautomate.control.
EXTENSION = mautomate
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" mautomate.control)
MODULE_big = mautomate
OBJS := $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))

# The install script, in dependency order.
PARTS = header clock error address definition contact event state predicate \
	worker \
	owner
FULL_PARTS = $(PARTS:%=sql/install/%.sql)
FULL_SCRIPT = sql/mautomate--$(EXTVERSION).sql
DATA_built = $(FULL_SCRIPT)
DATA = $(wildcard sql/mautomate--*--*.sql)
EXTRA_CLEAN = $(FULL_SCRIPT)

PG_CFLAGS = -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter \
	-Wno-sign-compare -Wno-missing-field-initializers

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(wildcard src/*.h)

$(FULL_SCRIPT): $(FULL_PARTS)
	cat $^ > $@
