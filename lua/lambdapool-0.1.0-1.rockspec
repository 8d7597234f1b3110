-- The Lua module, the agent that its workers run, and what it needs for AWS:
--   luarocks --lua-version 5.4 make lua/lambdapool-0.1.0-1.rockspec
-- in the tree, or with the file that `make rock` makes, anywhere. Packages that are missing are
-- named.
rockspec_format = "3.0"
package = "lambdapool"
version = "0.1.0-1"
source = {
  url = "file://lambdapool-0.1.0.tar.gz", -- `make rock` packs it
  dir = "lambdapool-0.1.0",
}
description = {
  summary = "Run Lua functions on many workers: local processes or AWS Lambda",
  detailed = [[
    Pools and executors for Lua 5.4. A task is any Lua function: it is sent, together with the
    variables and modules that it uses, to processes on this machine or to AWS Lambda functions.]],
  license = "MIT",
}
supported_platforms = { "linux" }
dependencies = { "lua ~> 5.4" }
build = {
  type = "make",
  build_target = "rock-parts",
  build_variables = { SETUP = "check" },
  install_target = "install-rock",
  install_variables = { LIBDIR = "$(LIBDIR)" },
  copy_directories = { "examples" },
}
