/*
 * relay.c
 *	  Which relay a new connection goes to.
 *
 * To the one with the fewest connections for its weight, among those that
 * answer: one that did not is left alone, each time for longer, unless there
 * is no other. One of weight 0 is for when no other answers.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "relay.h"

/* A relay is left alone for so long. */
#define REST_FIRST_MS 1000
#define REST_MOST_MS  60000

/* What is known of each relay, by all connections. */
static struct
{
	int		connections; /* that go or want to go there */
	int64_t rests_until; /* 0: it works */
	int		rest_ms;	 /* the last time it was left alone */
} states[MA_RELAYS_MAX];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Is the first relay a better choice than the second? */
static bool
is_better(const Config *config, int a, int b, int64_t now)
{
	bool	a_rests = states[a].rests_until > now;
	bool	b_rests = states[b].rests_until > now;
	int64_t a_weight = config->relays[a].weight;
	int64_t b_weight = config->relays[b].weight;

	if (a_rests != b_rests)
		return b_rests;
	if (a_rests)
		return states[a].rests_until < states[b].rests_until;
	if (a_weight == 0 || b_weight == 0)
		return a_weight > b_weight;
	return (states[a].connections + 1) * b_weight <
		   (states[b].connections + 1) * a_weight;
}

/*
 * The relay for a new connection, which counts as its own until it leaves it;
 * -1 if all of them are in the set of those it has tried.
 */
int
relay_choose(const Config *config, unsigned tried)
{
	int64_t now = clock_ms();
	int		best = -1;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < config->relay_count; i++)
		if (!(tried & 1u << i) &&
			(best < 0 || is_better(config, i, best, now)))
			best = i;
	if (best >= 0)
		states[best].connections++;
	pthread_mutex_unlock(&lock);
	return best;
}

/* A connection goes there no more. */
void
relay_leave(int relay)
{
	pthread_mutex_lock(&lock);
	states[relay].connections--;
	pthread_mutex_unlock(&lock);
}

/* It has answered. */
void
relay_works(int relay)
{
	pthread_mutex_lock(&lock);
	states[relay].rests_until = 0;
	states[relay].rest_ms = 0;
	pthread_mutex_unlock(&lock);
}

/* No connection could be made. */
void
relay_failed(int relay)
{
	int64_t now = clock_ms();

	pthread_mutex_lock(&lock);
	if (states[relay].rests_until <= now)
	{
		states[relay].rest_ms = states[relay].rest_ms == 0 ?
									REST_FIRST_MS :
									2 * states[relay].rest_ms;
		if (states[relay].rest_ms > REST_MOST_MS)
			states[relay].rest_ms = REST_MOST_MS;
		states[relay].rests_until = now + states[relay].rest_ms;
	}
	pthread_mutex_unlock(&lock);
}
