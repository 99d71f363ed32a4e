/*
 * shim.c
 *	  Loaded before the libraries of mautomate-transport, a world for it.
 *
 * SHIM_NAMES: what names lead to, as "name=address,address;..."; after a bar
 * stands what they lead to from the second time on. SHIM_LOG: a file for the
 * lines "name NAME" and "connect ADDRESS". Whatever the address, the
 * connection goes to 127.0.0.1, so nothing leaves this machine.
 *
 * SHIM_AHEAD: OpenSSL reads as much as there is, as libcurl has it do since
 * 8.15, and not one record after the other; from the first MAIL on, since
 * until then an older libcurl reads, which does not know.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void *
real(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

/* Appends a line to the log, at once. */
static void
note(const char *what, const char *of)
{
	char line[300];
	int	 len = snprintf(line, sizeof(line), "%s %s\n", what, of);
	int	 file = getenv("SHIM_LOG") != NULL ?
					open(getenv("SHIM_LOG"), O_WRONLY | O_APPEND) :
					-1;

	if (file < 0 || write(file, line, len) != len)
		abort();
	close(file);
}

/* The addresses of a name, with commas; NULL if it is none of ours. */
static char *
addresses_of(const char *name)
{
	static int seen;
	char	  *names = strdup(getenv("SHIM_NAMES"));
	char	  *place;

	for (char *one = strtok_r(names, ";", &place); one != NULL;
		 one = strtok_r(NULL, ";", &place))
	{
		char *addresses = strchr(one, '=');
		char *later = strchr(one, '|');

		*addresses++ = '\0';
		if (later != NULL)
			*later++ = '\0';
		if (strcmp(one, name) == 0)
			return strdup(later != NULL && seen++ > 0 ? later : addresses);
	}
	free(names);
	return NULL;
}

int
getaddrinfo(const char *name, const char *service,
			const struct addrinfo *hints, struct addrinfo **found)
{
	int (*really)(const char *, const char *, const struct addrinfo *,
				  struct addrinfo **) = real("getaddrinfo");
	struct addrinfo	  numeric = *hints;
	struct addrinfo **last = found;
	char			 *addresses;
	char			 *place;

	if (getenv("SHIM_NAMES") == NULL || (addresses = addresses_of(name)) == NULL)
		return really(name, service, hints, found);
	note("name", name);
	numeric.ai_flags |= AI_NUMERICHOST;
	*found = NULL;
	for (char *one = strtok_r(addresses, ",", &place); one != NULL;
		 one = strtok_r(NULL, ",", &place))
		if (really(one, service, &numeric, last) == 0)
			while (*last != NULL)
				last = &(*last)->ai_next;
	free(addresses);
	return *found != NULL ? 0 : EAI_NONAME;
}

int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	int (*really)(int, const struct sockaddr *, socklen_t) = real("connect");
	struct sockaddr_in	v4;
	struct sockaddr_in6 v6;
	char				text[INET6_ADDRSTRLEN];

	if (getenv("SHIM_NAMES") == NULL)
		return really(fd, address, len);
	if (address->sa_family == AF_INET)
	{
		memcpy(&v4, address, sizeof(v4));
		note("connect",
			 inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text)));
		v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return really(fd, (struct sockaddr *) &v4, sizeof(v4));
	}
	if (address->sa_family == AF_INET6)
	{
		memcpy(&v6, address, sizeof(v6));
		note("connect",
			 inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text)));
		inet_pton(AF_INET6, "::ffff:127.0.0.1", &v6.sin6_addr);
		return really(fd, (struct sockaddr *) &v6, sizeof(v6));
	}
	return really(fd, address, len);
}

int
SSL_write(void *tls, const void *data, int len)
{
	int (*really)(void *, const void *, int) = real("SSL_write");
	void (*set)(void *, int) = real("SSL_set_read_ahead");

	if (getenv("SHIM_AHEAD") != NULL && len > 5 &&
		memcmp(data, "MAIL ", 5) == 0)
		set(tls, 1);
	return really(tls, data, len);
}
