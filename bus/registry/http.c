/* SPDX-License-Identifier: MIT
 * HTTP: one easy handle a request. What is asked is asked once in a process's life, so connections are not kept. */
#include "registry/http.h"

#include "base/buf.h"
#include "base/error.h"
#include <bus/version.h>
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MOST (8u << 20)
#define REDIRECTS_MOST 3

struct bui_http {
    char *texts; /* all of the options' texts, each terminated */
    bui_http_options options;
    char **url; /* without a slash at the end; point into a copy of options.urls */
    char *split;
    int count;
    atomic_int first; /* the one that answered last */
    struct curl_slist *headers;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static char *copy(char **at, const char *text)
{
    size_t n = strlen(text ? text : "") + 1;
    char *mine = memcpy(*at, text ? text : "", n);
    *at += n;
    return mine;
}

static bus_status check_url(const char *properties, char *url, bus_error *err)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return bui_fail(err, BUS_CONFIG, "%surl: \"%.100s\" is not an address: it must begin with http:// or https://",
                        properties, url);
    if (strchr(url, '@'))
        return bui_fail(
            err, BUS_CONFIG,
            "%surl: an address holds a user or password: set them as properties of their own, so that they are not logged",
            properties);
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/')
        url[--n] = 0;
    return BUS_OK;
}

static bus_status check_file(const bui_http_options *o, const char *name, const char *path, bus_error *err)
{
    if (!*path || access(path, R_OK) == 0)
        return BUS_OK;
    return bui_fail(err, BUS_CONFIG, "%s%s: %.200s: %s", o->properties, name, path, strerror(errno));
}

static bus_status check_files(const bui_http_options *o, bus_error *err)
{
    bus_status status = check_file(o, "ca.file", o->ca_file, err);
    if (status == BUS_OK)
        status = check_file(o, "certificate.file", o->certificate_file, err);
    if (status == BUS_OK)
        status = check_file(o, "key.file", o->key_file, err);
    if (status == BUS_OK && *o->key_file && !*o->certificate_file)
        status = bui_fail(err, BUS_CONFIG, "%skey.file is the key of a certificate: set %scertificate.file, too", o->properties,
                          o->properties);
    return status;
}

static bus_status split_urls(bui_http *http, bus_error *err)
{
    char *rest = NULL;
    size_t room = 1;
    for (const char *p = http->options.urls; *p; p++)
        room += *p == ',';
    http->url = calloc(room, sizeof *http->url);
    http->split = strdup(http->options.urls);
    if (!http->url || !http->split)
        return bui_fail_nomem(err);
    for (char *url = strtok_r(http->split, ", ", &rest); url; url = strtok_r(NULL, ", ", &rest)) {
        bus_status status = check_url(http->options.properties, url, err);
        if (status != BUS_OK)
            return status;
        http->url[http->count++] = url;
    }
    return http->count ? BUS_OK : bui_fail(err, BUS_CONFIG, "%surl: no address is given", http->options.properties);
}

static bool add_header(bui_http *http, const char *name, const char *value)
{
    char line[200];
    snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *more = curl_slist_append(http->headers, line);
    if (more)
        http->headers = more;
    return more != NULL;
}

bus_status bui_http_open(const bui_http_options *options, bui_http **out, bus_error *err)
{
    pthread_once(&once, start_curl);
    const char *const texts[] = {
        options->urls,     options->user,         options->password,     options->ca_file, options->certificate_file,
        options->key_file, options->key_password, options->content_type, options->accept
    };
    size_t size = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        size += strlen(texts[i] ? texts[i] : "") + 1;
    bui_http *http = calloc(1, sizeof *http);
    if (!http || !(http->texts = malloc(size))) {
        free(http);
        return bui_fail_nomem(err);
    }
    char *at = http->texts;
    http->options = *options;
    http->options.urls = copy(&at, options->urls);
    http->options.user = copy(&at, options->user);
    http->options.password = copy(&at, options->password);
    http->options.ca_file = copy(&at, options->ca_file);
    http->options.certificate_file = copy(&at, options->certificate_file);
    http->options.key_file = copy(&at, options->key_file);
    http->options.key_password = copy(&at, options->key_password);
    http->options.content_type = copy(&at, options->content_type);
    http->options.accept = copy(&at, options->accept);
    bus_status status = split_urls(http, err);
    if (status == BUS_OK)
        status = check_files(&http->options, err);
    if (status == BUS_OK && (!add_header(http, "Accept", http->options.accept) ||
                             !add_header(http, "Content-Type", http->options.content_type) || !add_header(http, "Expect", "")))
        status = bui_fail_nomem(err);
    if (status != BUS_OK) {
        bui_http_close(http);
        return status;
    }
    *out = http;
    return BUS_OK;
}

void bui_http_close(bui_http *http)
{
    if (!http)
        return;
    curl_slist_free_all(http->headers);
    free(http->url);
    free(http->split);
    free(http->texts);
    free(http);
}

/* ---- one request */

static size_t take(char *bytes, size_t size, size_t count, void *opaque)
{
    bui_buf *answer = opaque;
    bui_buf_add(answer, bytes, size * count);
    return bui_buf_ok(answer) ? size * count : 0;
}

static int progress(void *opaque, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    const bui_http *http = opaque;
    return http->options.stop && http->options.stop(http->options.opaque);
}

static void set_text(CURL *curl, CURLoption option, const char *text)
{
    if (*text)
        curl_easy_setopt(curl, option, text);
}

static void prepare(const bui_http *http, CURL *curl, const char *url, const char *body, bui_buf *answer, char *why)
{
    const bui_http_options *o = &http->options;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)o->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L); /* credentials stay with the first host: libcurl's default */
    curl_easy_setopt(curl, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MOST);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, http->headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "bus/" BUS_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, http);
    if (*o->user) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERNAME, o->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, o->password);
    }
    set_text(curl, CURLOPT_CAINFO, o->ca_file);
    set_text(curl, CURLOPT_SSLCERT, o->certificate_file);
    set_text(curl, CURLOPT_SSLKEY, o->key_file);
    set_text(curl, CURLOPT_KEYPASSWD, o->key_password);
    if (body)
        curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, body);
}

/* What to do about a connection that came to nothing, by the property to look at; NULL: nothing that is known. */
static const char *advice(const bui_http_options *o, CURLcode done, const char *why)
{
    switch (done) {
    case CURLE_PEER_FAILED_VERIFICATION:
        return "ca.file must hold the authority that signed its certificate, which must be for that host and not have expired";
    case CURLE_SSL_CACERT_BADFILE: return "ca.file must be a PEM file of certificates";
    case CURLE_SSL_CERTPROBLEM: return "certificate.file, key.file and key.password must go together";
    case CURLE_SSL_CONNECT_ERROR:
        if (!strstr(why, "alert"))
            return strstr(why, "wrong version") ? "url must begin with http:// where no TLS is spoken" : NULL;
        break;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING: break; /* in TLS 1.3 a server without the certificate it wants hangs up after the handshake */
    default: return NULL;
    }
    return *o->certificate_file ? "certificate.file must be one that it trusts"
                                : "certificate.file is not set, and it may ask for one";
}

static bus_status failed(const bui_http *http, const char *url, CURLcode done, const char *why, bus_error *err)
{
    const char *todo = strncmp(url, "https:", 6) == 0 ? advice(&http->options, done, why) : NULL;
    return bui_fail(err, done == CURLE_OPERATION_TIMEDOUT ? BUS_TIMEOUT : BUS_IO, "%.150s: %.200s%s%s%s", url, why,
                    todo ? "; " : "", todo ? http->options.properties : "", todo ? todo : "");
}

/* What one address said; a failure means: try the next. */
static bus_status judge(const bui_http *http, const char *url, CURLcode done, const char *why, long code, const bui_buf *answer,
                        json_t **json, bus_error *err)
{
    if (answer->failed)
        return bui_fail(err, BUS_IO, "%.150s answered with more than %u bytes", url, ANSWER_MOST);
    if (done == CURLE_ABORTED_BY_CALLBACK)
        return bui_fail(err, BUS_CANCELLED, "stopped while waiting for %.150s", url);
    if (done != CURLE_OK)
        return failed(http, url, done, *why ? why : curl_easy_strerror(done), err);
    if (code >= 500 || code == 429)
        return bui_fail(err, BUS_IO, "%.150s answered with HTTP status %ld", url, code);
    *json = answer->len ? json_loadb((const char *)answer->data, answer->len, JSON_DECODE_ANY, NULL) : NULL;
    if (!*json && code >= 200 && code < 300)
        return bui_fail(err, BUS_IO, "%.150s answered with something that is not JSON: no registry, or a proxy before it?", url);
    return BUS_OK;
}

static bus_status ask_one(bui_http *http, const char *base, const char *path, const char *body, json_t **json, long *code,
                          bus_error *err)
{
    char why[CURL_ERROR_SIZE] = "";
    bui_buf url, answer;
    bui_buf_init(&url, 0);
    bui_buf_init(&answer, ANSWER_MOST);
    bui_buf_printf(&url, "%s/%s", base, path);
    char *text = bui_buf_take(&url);
    CURL *curl = text ? curl_easy_init() : NULL;
    bus_status status;
    if (curl) {
        prepare(http, curl, text, body, &answer, why);
        CURLcode done = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, code);
        status = judge(http, text, done, why, *code, &answer, json, err);
        curl_easy_cleanup(curl);
    } else {
        status = bui_fail_nomem(err);
    }
    free(text);
    bui_buf_free(&answer);
    return status;
}

bus_status bui_http_ask(bui_http *http, const char *path, const char *body, json_t **answer, long *code, bus_error *err)
{
    bus_error why = { 0 };
    bus_status status = BUS_IO;
    int first = atomic_load(&http->first);
    for (int i = 0; i < http->count; i++) {
        int at = (first + i) % http->count;
        json_t *json = NULL;
        long got = 0;
        status = ask_one(http, http->url[at], path, body, &json, &got, &why);
        if (status == BUS_OK) {
            atomic_store(&http->first, at);
            *answer = json;
            *code = got;
            return BUS_OK;
        }
        if (status == BUS_CANCELLED || status == BUS_NOMEM)
            break;
    }
    why.retriable = status != BUS_CANCELLED;
    if (err)
        *err = why;
    return status;
}
