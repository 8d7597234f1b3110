--- What tasks in the specs of faults use.
local tasks = {}

--- Loads the C module `faulty`, which stands in `folder`.
function tasks.faulty(folder)
  package.cpath = folder .. "/?.so"
  return require "faulty"
end

--- The number of the process.
function tasks.pid()
  local file <close> = assert(io.open "/proc/self/stat")
  return file:read "n"
end

return tasks
