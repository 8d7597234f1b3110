--- `lambdapool package`: the zip that `create` and `update` would upload, as a file.

local change = require "lambdapool.cli.change"
local command = require "lambdapool.cli.command"
local files = require "lambdapool.files"
local json = require "lambdapool.json"
local output = require "lambdapool.cli.output"

local function fail(path, message)
  command.fail(("cannot write %s: %s"):format(path, (message:gsub("^.*: ", ""))))
end

-- Writes to a file or a device. Nil and a message when it cannot be done.
local function write(path, bytes)
  local file, message = io.open(path, "wb")
  if not file then
    return nil, message
  end
  local written, problem = file:write(bytes)
  local closed, other = file:close()
  return written and closed, problem or other
end

-- Writes a file under another name and gives it its own at the end, so that it is whole or as it
-- was before.
local function replace(path, bytes)
  local folder, message = files.temporary(path .. ".")
  if not folder then
    return nil, message
  end
  local ok
  ok, message = write(folder .. "/package", bytes)
  if ok then
    ok, message = os.rename(folder .. "/package", path)
  end
  files.remove(folder)
  return ok, message
end

-- The file that is there keeps its place when `path` is a link to it; devices and pipes are written
-- to.
local function store(path, bytes)
  local status = files.status(path)
  if status and status.kind == "folder" then
    fail(path, "it is a folder")
  end
  local ok, message
  if status and status.kind ~= "file" then
    ok, message = write(path, bytes)
  else
    ok, message = replace(status and files.real(path) or path, bytes)
  end
  if not ok then
    fail(path, message)
  end
end

local function print_block(path, package)
  output.block {
    { "file", path },
    { "size", output.size(#package.bytes) .. ", " .. output.size(package.unzipped) .. " unzipped" },
    { "code", package.sha256 },
    { "agent", package.agent_version },
    { "entries", output.files(package.entries) },
  }
end

local function print_json(path, package)
  output.json { file = path, size = #package.bytes, unzipped = package.unzipped,
    code_sha256 = package.sha256, agent_version = package.agent_version,
    entries = json.array(package.entries) }
end

local function run(given)
  if not given.output then
    command.usage "the name of the zip is missing: give it with `-o FILE`"
  end
  local package = require("lambdapool.deploy.package").build {
    paths = given.paths, requirements = given.requirements, architecture = given.arch,
    layer = given.layer, except = given.output, log = change.watcher(),
  }
  store(given.output, package.bytes)
  if given.json then
    print_json(given.output, package)
  else
    print_block(given.output, package)
  end
end

return command.new {
  name = "package",
  usage = "package [PATHS] -o FILE",
  example = "lambdapool package algorithms/ -o f.zip -r rocks.txt",
  about = "Makes the zip of a function: the agent, files and folders, and rocks. Any tool can\n" ..
    "upload it. The same files make the same bytes, so it only changes when they do.\n\n" ..
    "FOLDER goes in under its own name, what is in FOLDER/. at the top, and so do files.",
  arguments = { { "paths", "files and folders", args = "*" } },
  options = {
    { "-o --output", "FILE", "the zip to write" },
    { "-r --requirements", "FILE", "rocks that it needs: a list of names, or a rockspec" },
    { "--arch", "NAME", "x86_64 or arm64 (x86_64)", convert = command.choice("x86_64", "arm64") },
    { "--layer", nil, "make the zip of a layer, without the agent" },
  },
  common = { json = true },
  run = run,
}
