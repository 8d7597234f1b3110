--- A real terminal for the specs of the prompt: tmux draws it, types on it and tells what is on it.
local lfs = require "lfs"

local system = require "lambdapool.system"

-- As long as anything may take that has to happen.
local PATIENCE = 30

local screens = {}

---@class tests.Screen
---@field private folder string
local methods = {}
local mt = { __index = methods }

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function tmux(self, ...)
  local words = { "tmux -u -f /dev/null -S", quote(self.folder .. "/socket") }
  for _, word in ipairs { ... } do
    words[#words + 1] = quote(word)
  end
  local pipe <close> = assert(io.popen(table.concat(words, " ") .. " 2>&1"))
  local output = pipe:read "a"
  assert(pipe:close(), output)
  return output
end

--- Presses keys, by the names that tmux has for them.
function methods:key(...)
  tmux(self, "send-keys", ...)
end

--- Types text.
---@param text string
function methods:type(text)
  tmux(self, "send-keys", "-l", text)
end

--- Sends bytes that no key has.
---@param bytes string
function methods:send(bytes)
  local codes = {}
  for i = 1, #bytes do
    codes[i] = ("%02x"):format(bytes:byte(i))
  end
  tmux(self, "send-keys", "-H", table.unpack(codes))
end

--- Pastes text, in brackets if the program has asked for them.
---@param text string
function methods:paste(text)
  local path = self.folder .. "/paste"
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  tmux(self, "load-buffer", path)
  tmux(self, "paste-buffer", "-p", "-r")
end

---@param columns integer
---@param rows integer
function methods:resize(columns, rows)
  tmux(self, "resize-window", "-x", tostring(columns), "-y", tostring(rows))
end

--- What is on the screen, without the empty rows at its end.
---@return string
function methods:text()
  return (tmux(self, "capture-pane", "-p"):gsub("%s+$", ""))
end

--- Waits until the screen ends in `text`, or until a function says true of what is on it.
---@param expected string|fun(text: string): boolean
function methods:wait(expected)
  local limit = system.monotonic() + PATIENCE
  local text
  repeat
    text = self:text()
    if type(expected) == "function" and expected(text)
      or type(expected) == "string" and text:sub(-#expected) == expected then
      return
    end
    os.execute "sleep 0.05"
  until system.monotonic() > limit
  error(("the screen is\n%s\nand not what was expected:\n%s"):format(text, expected), 2)
end

--- Where the cursor is, from 0 on.
---@return integer column
---@return integer row
function methods:cursor()
  local column, row = tmux(self, "display-message", "-p", "#{cursor_x} #{cursor_y}")
    :match "(%d+) (%d+)"
  return math.tointeger(column), math.tointeger(row)
end

function methods:close()
  pcall(tmux, self, "kill-server")
  os.execute("rm -rf " .. quote(self.folder))
end

mt.__close = methods.close

local function pid()
  local file <close> = assert(io.open "/proc/self/stat")
  return file:read "n"
end

-- When the spec is killed, tmux and what runs in it must not stay.
local function watch(self)
  tmux(self, "run-shell", "-b", ("while kill -0 %d 2>/dev/null; do sleep 1; done; "):format(pid())
    .. ("tmux -S %s/socket kill-server; rm -rf %s"):format(self.folder, self.folder))
end

--- A terminal of `columns` and `rows` in which a shell runs `command`, and then prints "status" and
--- its exit code.
---@param command string
---@param columns integer?
---@param rows integer?
---@return tests.Screen
function screens.open(command, columns, rows)
  local folder = os.tmpname()
  os.remove(folder)
  assert(lfs.mkdir(folder))
  local self = setmetatable({ folder = folder }, mt)
  tmux(self, "new-session", "-d", "-x", tostring(columns or 60), "-y", tostring(rows or 16),
    command .. "; echo status $?; exec sleep 1000")
  watch(self)
  return self
end

return screens
