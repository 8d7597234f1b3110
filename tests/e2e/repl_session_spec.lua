--- The prompt as a person has it: in real terminals, with a pool.

local screens = require "tests.e2e.repl_screen"

local program = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"
local folder

-- A prompt on a terminal of its own; `environment` stands before the program.
local function open(arguments, environment)
  local command = ("cd %s && env HOME=%s LANG=C.UTF-8 TERM=screen-256color %s %s repl %s"):format(
    folder, folder, environment or "NO_COLOR=1", program, arguments or "")
  local screen = screens.open(command, 80, 20)
  local ok, message = pcall(screen.wait, screen, ">")
  if not ok then
    screen:close()
    error(message, 0)
  end
  return screen
end

-- Types a line and waits until the screen ends in `expected` and a new prompt.
local function enter(screen, line, expected)
  screen:type(line)
  screen:key "Enter"
  if expected then
    screen:wait(expected .. "\n>")
  end
end

-- Waits until the screen matches a pattern.
local function see(screen, pattern)
  screen:wait(function(text) return text:find(pattern) ~= nil end)
end

local function exists(name)
  local file <close> = io.open(folder .. "/" .. name)
  return file ~= nil
end

-- Functions for tasks that wait until a file is there. They leave a file behind when they begin.
local function define(screen)
  enter(screen, "function wait(n) io.open('begun' .. n, 'w'):close() " ..
    "while not io.open('go' .. n) do os.execute 'sleep 0.02' end return n end", "")
end

local function begin(name)
  io.open(folder .. "/" .. name, "w"):close()
end

local function await_file(name)
  for _ = 1, 3000 do
    if exists(name) then
      return
    end
    os.execute "sleep 0.02"
  end
  error(name .. " never came")
end

describe("a prompt", function()
  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
  end)

  after_each(function()
    os.execute("rm -rf " .. folder)
  end)

  it("says what a call took behind its value", function()
    local screen <close> = open()
    enter(screen, "function half(x) return x / 2 end", "")
    enter(screen, "pool:map(half, { 1, 2, 3 })")
    see(screen, "\n{ 0.5, 1.0, 1.5 }      3 tasks · [%d.]+ m?s\n>")
    enter(screen, "local f = pool:apply_async(half, { 5 })", "f: 2.5")
    enter(screen, "f:get()", "> f:get()\n2.5")
    enter(screen, "_ + 1", "3.5")
    enter(screen, "local quiet = pool:map(half, { 1 })")
    see(screen, "quiet = pool:map%(half, { 1 }%)\n1 task · [%d.]+ m?s\n>")
    screen:key "C-d"
    screen:wait "status 0"
  end)

  it("goes on after Ctrl-C, with its pool", function()
    local screen <close> = open "--workers 2"
    define(screen)
    begin "go1"
    enter(screen, "pool:map(wait, { 1, 2, 3 }, { chunksize = 1 })")
    await_file "begun3"
    screen:key "C-c"
    screen:wait "interrupted: 1 task done, 0 failed, 2 not done\n>"
    enter(screen, "pool:apply(math.max, { 1, 2 })")
    see(screen, "\n2      1 task · ")
    enter(screen, "local f = executor:submit(wait, 4)", "")
    enter(screen, "io.open('asked', 'w'):close() return f:result()")
    await_file "begun4"
    await_file "asked" -- Ctrl-C before Enter would be for the line
    screen:key "C-c"
    screen:wait "interrupted: 0 tasks done, 0 failed, 1 not done\n>"
    enter(screen, "f:cancelled()", "true")
    enter(screen, "while true do end")
    screen:key "C-c"
    screen:wait "interrupted\n>"
    enter(screen, ":quit")
    screen:wait "status 0"
  end)

  it("keeps workers that run Lua warm, and replaces the others", function()
    local screen <close> = open "--workers 1"
    define(screen)
    enter(screen, "function pid() return io.open('/proc/self/stat'):read 'n' end", "")
    enter(screen, "function stay() io.open('begun', 'w'):close() while 1 do end end", "")
    enter(screen, "local first = pool:apply(pid)")
    see(screen, "pool:apply%(pid%)\n1 task · ")
    enter(screen, "pool:map(stay, { 1, 2 })")
    await_file "begun"
    screen:key "C-c"
    screen:wait "interrupted: 0 tasks done, 0 failed, 2 not done\n>"
    enter(screen, "pool:apply(pid) == first")
    see(screen, "\ntrue      1 task · ")
    enter(screen, "pool:apply(os.execute, { 'touch begun1; sleep 1000' })")
    await_file "begun1"
    screen:key "C-c"
    screen:wait "interrupted: 0 tasks done, 0 failed, 1 not done\n>"
    enter(screen, "pool:apply(pid) == first")
    see(screen, "\nfalse      1 task · ")
  end)

  it("insists when code swallows Ctrl-C", function()
    local screen <close> = open()
    enter(screen, "function stay() io.open('begun', 'w'):close() while true do end end", "")
    enter(screen, "while true do pcall(stay) end")
    await_file "begun"
    os.remove(folder .. "/begun")
    screen:key "C-c"
    await_file "begun"
    screen:key "C-c"
    screen:wait "interrupted\n>"
    enter(screen, "1 + 1", "2")
  end)

  it("goes on after Ctrl-C in coroutines", function()
    local screen <close> = open()
    enter(screen, "function stay() io.open('begun', 'w'):close() while true do end end", "")
    local function interrupt(line, times)
      enter(screen, line)
      for _ = 1, times or 1 do
        await_file "begun"
        os.remove(folder .. "/begun")
        screen:key "C-c"
      end
      see(screen, "\ninterrupted[^\n]*\n>$")
      enter(screen, "1 + 1", "2")
      enter(screen, ":clear", "")
    end
    interrupt "lambdapool.async(stay)"
    interrupt "coroutine.wrap(function() coroutine.wrap(stay)() end)()"
    interrupt "pool:apply_async(tostring, { 1 }, nil, stay):get() pool:poll(10)"
    interrupt("while true do pcall(coroutine.wrap(stay)) end", 2)
    interrupt("coroutine.wrap(function() while true do pcall(stay) end end)()", 2)
    enter(screen, "debug.gethook()", "nil")
  end)

  it("tells results above the line that is typed", function()
    local screen <close> = open()
    define(screen)
    enter(screen, "first = pool:map_async(wait, { 1, 2 })", "")
    enter(screen, "for n = 3, 5 do executor:submit(wait, n) end", "")
    screen:type "1 + 1"
    for n = 1, 5 do
      begin("go" .. n)
    end
    screen:wait(function(text)
      return text:find "\nfirst: { 1, 2 }\n" and text:find "\n3 tasks are done\n"
        and text:find "\n> 1 %+ 1$"
    end)
    screen:key "Enter"
    screen:wait "\n> 1 + 1\n2\n>"
    enter(screen, "bad = pool:apply_async(error, { 'late' })")
    see(screen, "\nbad: task raised on worker %d+ %(attempt 1 of 1, %d+ ms%)\n  late\n.*>")
  end)

  it("tells nothing that the line has asked for", function()
    local screen <close> = open()
    begin "go1"
    define(screen)
    enter(screen, "local f = pool:apply_async(wait, { 1 })", "")
    enter(screen, "local g = pool:apply_async(wait, { 2 })", "")
    see(screen, "\nf: 1\n>")
    begin "go2"
    enter(screen, "g:wait() return g:get() + 40", "\n42")
    enter(screen, "'that is all'", "42\n> 'that is all'\n\"that is all\"")
  end)

  it("shows how far a call is", function()
    local screen <close> = open()
    define(screen)
    enter(screen, "pool:map(wait, { 1, 2 }, { progress = true })")
    see(screen, "0%%.*0/2  2 running")
    begin "go1"
    begin "go2"
    see(screen, "\n{ 1, 2 }      2 tasks · ")
    assert.is_nil(screen:text():find "running")
  end)

  it("leaves with a word when tasks still run", function()
    local screen <close> = open()
    define(screen)
    enter(screen, "local r = pool:map_async(wait, { 1, 2, 3 })", "")
    screen:key "C-d"
    screen:wait "\n3 tasks had not ended, and are cancelled\nstatus 0"
  end)

  it("ends in order when it is terminated", function()
    local screen <close> = open()
    enter(screen, "local stat = io.open '/proc/self/stat'", "")
    enter(screen, "os.execute('kill -TERM ' .. stat:read 'n')")
    screen:wait "status 143"
  end)

  it("goes on after errors, of callbacks, too", function()
    local screen <close> = open()
    enter(screen, "error 'one'", "repl:1:1: one")
    enter(screen, "x ==")
    screen:wait "\n>>"
    screen:key "C-c"
    screen:wait "\n>"
    enter(screen, "pool:apply_async(math.abs, { -1 }, nil, function() error 'two' end)")
    see(screen, "\nrepl:%d:1: two\n>")
    enter(screen, "lambdapool.async(function() error 'three' end)")
    see(screen, "\nrepl:%d:1: three\n>")
    enter(screen, "local pool <close> = lambdapool.pool {}",
      "`pool` is closed, as its line has ended; leave out <close> to keep it")
  end)

  it("begins without a pool where none can be had", function()
    local screen <close> = open("--backend aws -e 'x = 5'",
      "env -u AWS_REGION -u AWS_DEFAULT_REGION NO_COLOR=1")
    see(screen, "there are no `pool` and `executor`: no AWS region is set")
    enter(screen, "x", "> x\n5")
  end)

  it("completes and remembers", function()
    do
      local screen <close> = open()
      enter(screen, "local thimble = 41", "")
      screen:type "thim"
      screen:key "Tab"
      enter(screen, " + 1", "> thimble + 1\n42")
      screen:key "C-d"
      screen:wait "status 0"
    end
    local screen <close> = open()
    screen:key("Up", "Up")
    screen:wait "> local thimble = 41"
  end)

  it("has colours where they are wanted", function()
    local screen <close> = open("-e 'print(1)'", "env -u NO_COLOR")
    enter(screen, "'text'", '"text"')
    local pipe <close> = assert(io.popen(("script -qec %q /dev/null"):format(
      ("env -u NO_COLOR TERM=xterm HOME=%s sh -c 'sleep 1; echo \"7\" | %s repl'"):format(folder,
        program))))
    assert.matches("^7\r?\n", pipe:read "a")
  end)
end)
