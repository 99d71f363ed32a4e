/*
 * handle.c
 *	  A libcurl handle with its sockets and deadlines.
 *
 * All deadlines are ours, kept by the progress callback, which libcurl calls
 * at least once a second, also where it blocks: its own total timeout counts
 * from the making of the connection, and its reply timeout is one for all
 * replies.
 *
 * The sockets are opened here, so that we can shut them down where libcurl
 * would wait, and refuse addresses after names were resolved.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "handle.h"
#include "private.h"

static curl_socket_t on_open(void *arg, curlsocktype purpose,
							 struct curl_sockaddr *address);
static int			 on_close(void *arg, curl_socket_t fd);
static int on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow,
					   curl_off_t ultotal, curl_off_t ulnow);

/*
 * A handle for these protocols with what never changes. It must not move, and
 * the configuration must outlive it. False if there is no memory.
 */
bool
handle_init(Handle *handle, const Config *config, const char *protocols)
{
	CURL *curl = curl_easy_init();
	int	  longest = config->final_ms > config->reply_ms ? config->final_ms :
														  config->reply_ms;

	if (curl == NULL)
		return false;
	handle->config = config;
	handle->curl = curl;
	for (int i = 0; i < HANDLE_SOCKETS; i++)
		handle->sockets[i] = -1;
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, handle->error);
	curl_easy_setopt(curl, CURLOPT_MAXCONNECTS, 1L);
	curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
	/* beyond ours, which say more exactly what was waited for */
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
					 (long) config->total_ms + 10000);
	curl_easy_setopt(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT,
					 (long) longest / 1000 + 10);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, handle);
	curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(curl, CURLOPT_CLOSESOCKETDATA, handle);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, handle);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	handle_trust(handle, &config->relays[0]);
	return true;
}

/*
 * Whose certificates are good for the next connection; all are verified, if
 * not told otherwise.
 */
void
handle_trust(Handle *handle, const Relay *relay)
{
	CURL *curl = handle->curl;
	char *file = NULL;
	char *folder = NULL;

	/* the system's own, which another relay may have replaced */
	curl_easy_getinfo(curl, CURLINFO_CAINFO, &file);
	curl_easy_getinfo(curl, CURLINFO_CAPATH, &folder);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, relay->insecure ? 0L : 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, relay->insecure ? 0L : 2L);
	curl_easy_setopt(curl, CURLOPT_CAINFO,
					 relay->ca_file != NULL ? relay->ca_file : file);
	curl_easy_setopt(curl, CURLOPT_CAPATH,
					 relay->ca_file != NULL ? NULL : folder);
}

/* Something new is to be sent: nothing of the last counts any more. */
void
handle_begin(Handle *handle)
{
	handle->error[0] = '\0';
	handle->aborted = NULL;
	handle->connected = false;
	handle->refused = false;
	handle->tried = false;
	handle->total_deadline = clock_ms() + handle->config->total_ms;
	handle_wait(handle, handle->config->connect_ms);
}

/* From now on something has to happen within so many ms. */
void
handle_wait(Handle *handle, int ms)
{
	handle->deadline = clock_ms() + ms;
}

/* Ends what is open; what was written still goes out. */
static void
shut(Handle *handle)
{
	for (int i = 0; i < HANDLE_SOCKETS; i++)
		if (handle->sockets[i] >= 0)
			shutdown(handle->sockets[i], SHUT_RDWR);
}

/* Why it failed, in words. */
const char *
handle_reason(Handle *handle, CURLcode rc)
{
	long system_error = 0;

	if (handle->aborted != NULL)
		return handle->aborted;
	if (rc == CURLE_COULDNT_CONNECT &&
		curl_easy_getinfo(handle->curl, CURLINFO_OS_ERRNO, &system_error) ==
			CURLE_OK &&
		system_error != 0)
		return strerror((int) system_error);
	return handle->error[0] != '\0' ? handle->error : curl_easy_strerror(rc);
}

/* Closes what is open without a word. */
void
handle_free(Handle *handle)
{
	shut(handle);
	curl_easy_cleanup(handle->curl);
}

/* libcurl wants a socket. */
static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	Handle *handle = arg;

	(void) purpose;
	if (handle->config->public_only && private_address(&address->addr))
	{
		handle->refused = !handle->tried;
		return CURL_SOCKET_BAD;
	}
	handle->refused = false;
	handle->tried = true;
	for (int i = 0; i < HANDLE_SOCKETS; i++)
		if (handle->sockets[i] < 0)
			return handle->sockets[i] = socket(
					   address->family, address->socktype | SOCK_CLOEXEC,
					   address->protocol);
	return CURL_SOCKET_BAD;
}

/* libcurl closes one. */
static int
on_close(void *arg, curl_socket_t fd)
{
	Handle *handle = arg;

	for (int i = 0; i < HANDLE_SOCKETS; i++)
		if (handle->sockets[i] == fd)
			handle->sockets[i] = -1;
	return close(fd);
}

/* Has any of the sockets a peer? */
static bool
has_peer(const Handle *handle)
{
	for (int i = 0; i < HANDLE_SOCKETS; i++)
	{
		struct sockaddr_storage peer;
		socklen_t				len = sizeof(peer);

		if (handle->sockets[i] >= 0 &&
			getpeername(handle->sockets[i], (struct sockaddr *) &peer, &len) ==
				0)
			return true;
	}
	return false;
}

/* libcurl asks whether to go on. */
static int
on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow,
			curl_off_t ultotal, curl_off_t ulnow)
{
	Handle *handle = arg;
	int64_t now = clock_ms();

	(void) dltotal;
	(void) dlnow;
	(void) ultotal;
	(void) ulnow;
	if (handle->aborted == NULL)
	{
		if (!handle->connected && has_peer(handle))
		{
			handle->connected = true;
			handle_wait(handle, handle->config->reply_ms);
		}
		if (now >= handle->deadline)
			handle->aborted = "no answer in time";
		else if (handle->total_deadline != 0 && now >= handle->total_deadline)
			handle->aborted = "it took too long";
		else
			return 0;
	}
	shut(handle);
	return 1;
}
