--- Zip archives; see host/cloud/lib_archive.c.
return require("lambdapool.cloud").load "archive"
