/* A security key that is none: the library that ssh asks instead of a device (OpenSSH's PROTOCOL.u2f, "Middleware
 * library"). Its key handle is the private key itself; it is never touched.
 *
 *     cc -shared -fPIC -o token.so token.c -lcrypto
 *     ssh-keygen -t ed25519-sk -w ./token.so
 */

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 0x000a0000
#define ED25519 1
#define GENERAL_FAILURE -1
#define UNSUPPORTED -2

struct option;

struct enrolled {
    uint8_t flags;
    uint8_t *public_key;
    size_t public_key_len;
    uint8_t *key_handle;
    size_t key_handle_len;
    uint8_t *signature;
    size_t signature_len;
    uint8_t *certificate;
    size_t certificate_len;
    uint8_t *data;
    size_t data_len;
};

struct signature {
    uint8_t flags;
    uint32_t counter;
    uint8_t *r;
    size_t r_len;
    uint8_t *s;
    size_t s_len;
};

uint32_t sk_api_version(void) { return VERSION; }

int sk_enroll(uint32_t algorithm, const uint8_t *challenge, size_t challenge_len, const char *application,
              uint8_t flags, const char *pin, struct option **options, struct enrolled **result) {
    (void)challenge, (void)challenge_len, (void)application, (void)pin, (void)options;
    if (algorithm != ED25519) return UNSUPPORTED;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    struct enrolled *made = calloc(1, sizeof *made);
    made->flags = flags;
    made->public_key = malloc(made->public_key_len = 32);
    made->key_handle = malloc(made->key_handle_len = 32);
    made->signature = calloc(1, made->signature_len = 1);
    int done = key && EVP_PKEY_get_raw_public_key(key, made->public_key, &made->public_key_len) == 1 &&
               EVP_PKEY_get_raw_private_key(key, made->key_handle, &made->key_handle_len) == 1;
    EVP_PKEY_free(key);
    *result = made;
    return done ? 0 : GENERAL_FAILURE;
}

int sk_sign(uint32_t algorithm, const uint8_t *data, size_t data_len, const char *application, const uint8_t *handle,
            size_t handle_len, uint8_t flags, const char *pin, struct option **options, struct signature **result) {
    (void)pin, (void)options;
    if (algorithm != ED25519) return UNSUPPORTED;
    /* What is signed: hash of the application, flags, counter, hash of the data. */
    uint8_t text[SHA256_DIGEST_LENGTH + 1 + 4 + SHA256_DIGEST_LENGTH] = {0};
    SHA256((const uint8_t *)application, strlen(application), text);
    text[SHA256_DIGEST_LENGTH] = flags;
    SHA256(data, data_len, text + SHA256_DIGEST_LENGTH + 5);
    struct signature *made = calloc(1, sizeof *made);
    made->flags = flags;
    made->r = malloc(made->r_len = 64);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, handle, handle_len);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int done = key && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
               EVP_DigestSign(context, made->r, &made->r_len, text, sizeof text) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    *result = made;
    return done ? 0 : GENERAL_FAILURE;
}

int sk_load_resident_keys(const char *pin, struct option **options, void ***keys, size_t *count) {
    (void)pin, (void)options, (void)keys, (void)count;
    return UNSUPPORTED;
}
