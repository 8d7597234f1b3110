--- Digests, random bytes, and who has signed a request: what there is stands above
--- host/cloud/lib_crypto.c and lib_sigv4.c. Signing is in lambdapool.aws.sigv4.
return require "lambdapool.cloud".load "crypto"
