--- Digests, random bytes and AWS signatures; see host/cloud/lib_crypto.c.
return require("lambdapool.cloud").load "crypto"
