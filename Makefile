# mautomate: see README.md. The version is written once, in mautomate.control.
#
# A new file is found by its place: src/*.c goes into the library,
# src/transport/*.c into the program beside it, test/sql, test/specs, test/t
# and every executable test/*/run into the tests. Only a new part of the
# install script must be named below, because the order matters there.
EXTENSION = mautomate
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" mautomate.control)
MODULE_big = mautomate
OBJS := $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))
TRANSPORT_OBJS := $(patsubst %.c,%.o,$(sort $(wildcard src/transport/*.c)))
TRANSPORT = mautomate-transport

# The install script, in dependency order.
PARTS = \
	header \
	clock \
	error \
	address \
	liquid \
	mime \
	definition \
	contact \
	event \
	capture \
	state \
	predicate \
	list \
	score \
	verify \
	channel \
	template \
	suppression \
	outbox \
	rate \
	pause \
	traffic \
	inbound \
	worker \
	workflow \
	message \
	explain \
	use \
	grant \
	owner
FULL_PARTS = $(PARTS:%=sql/install/%.sql)
FULL_SCRIPT = sql/mautomate--$(EXTVERSION).sql
DATA_built = $(FULL_SCRIPT)
# "make demo DATA=folder" uses a name that PGXS uses for something else.
DEMO_DATA := $(if $(filter command environment,$(firstword $(origin DATA))),$(DATA))
override DATA = $(wildcard sql/mautomate--*--*.sql)
EXTRA_CLEAN = $(FULL_SCRIPT) $(TRANSPORT) $(TRANSPORT_OBJS)

PG_CFLAGS = -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter \
	-Wno-sign-compare -Wno-missing-field-initializers

# installcheck starts servers of its own, with the library preloaded.
REGRESS := $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --temp-instance=tmp_check \
	--temp-config=test/regress.conf --encoding=UTF8
ISOLATION := $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=. --temp-instance=tmp_check_iso \
	--temp-config=test/regress.conf --encoding=UTF8
TAP_TESTS := $(if $(wildcard test/t/*.pl),1)
PROVE_TESTS = test/t/*.pl
export LC_ALL = C.UTF-8

.DEFAULT_GOAL = all
.PHONY: test demo lint bench checkver

# They do all the set-up themselves, as root or with sudo.
test demo lint bench:
	@MAKEFLAGS= PG_CONFIG='$(PG_CONFIG)' DATA='$(DEMO_DATA)' exec test/tool/$@

checkver:
	@grep -q '^## $(EXTVERSION) ' CHANGELOG.md || { \
		echo 'CHANGELOG.md: write a section "## $(EXTVERSION) (date)"'; exit 1; }

PG_CONFIG ?= pg_config
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
ifeq ($(PGXS),)
all install installcheck:
	@echo "no PGXS found by $(PG_CONFIG): apt-get install postgresql-server-dev-all,"
	@echo "or say make PG_CONFIG=/path/to/pg_config; make test does all by itself"
	@false
else
# no bitcode: nothing here is worth inlining
override with_llvm = no
include $(PGXS)

$(OBJS): $(wildcard src/*.h)
$(TRANSPORT_OBJS): $(wildcard src/transport/*.h)

$(FULL_SCRIPT): $(FULL_PARTS)
	cat $^ > $@

# The program that speaks to the network, beside the library (PGXS would put
# it into bindir).
all: $(TRANSPORT)
install: install-transport
uninstall: uninstall-transport

$(TRANSPORT): $(TRANSPORT_OBJS)
	$(CC) $(CFLAGS) $^ $(LDFLAGS_EX) -lcurl -lidn2 -lpthread -o $@

.PHONY: install-transport uninstall-transport
install-transport: $(TRANSPORT)
	$(MKDIR_P) '$(DESTDIR)$(pkglibdir)'
	$(INSTALL_PROGRAM) $(TRANSPORT) '$(DESTDIR)$(pkglibdir)/$(TRANSPORT)'

uninstall-transport:
	rm -f '$(DESTDIR)$(pkglibdir)/$(TRANSPORT)'
endif
