// OpenSSL's libcrypto, for AES-256-GCM and HMAC-SHA256 of encrypted snapshots.
#pragma once
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
