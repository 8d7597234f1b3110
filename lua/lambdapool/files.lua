--- Folders and files of a store; see host/cloud/lib_files.c.
return require("lambdapool.cloud").load "files"
