--- Lines that are edited in real terminals, by a script that reads some and prints what it got.

local screens = require "tests.e2e.repl_screen"

local program = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"

-- What is typed is printed, except for these words.
local SCRIPT = [[
local editors = require "lambdapool.repl.editor"
local interrupt = require "lambdapool.interrupt"
local loop = require "lambdapool.loop"
local progress = require "lambdapool.progress"
local words = { "print", "printf", "pairs", "écran", "écrou" }
for i = 1, 100 do words[#words + 1] = "many" .. i end
local editor
local function complete(text, position)
  local first = text:sub(1, position):match "()[%w\128-\255]*$"
  local found = {}
  for _, word in ipairs(words) do
    if word:sub(1, position - first + 1) == text:sub(first, position) then
      found[#found + 1] = { text = word }
    end
  end
  if text == "oops" then error "no candidates" end
  return first, found
end
local function tick(f)
  local file = io.open(arg[1] .. "/go")
  if not file then return loop.after(0.02, function() tick(f) end) end
  file:close()
  os.remove(arg[1] .. "/go")
  loop.later(f)
end
local orders = {
  say = function() tick(function() print "printed" end) end,
  show = function() tick(function() editor:show "shown\nin two rows" end) end,
  log = function() tick(function() progress.log "logged" end) end,
  fail = function() tick(function() error "a callback failed" end) end,
  spin = function() tick(function() print "spinning" while true do end end) end,
  exit = function() tick(function() os.exit(3, true) end) end,
  ask = function() io.write "name? " print("it is " .. io.read()) end,
  part = function() io.write "part" end,
}
assert(interrupt.catch(true))
editor = editors.open { history = arg[2], complete = complete,
  complain = function(failure) print("complaint: " .. tostring(failure)) end }
while true do
  local ok, line, reason = pcall(editor.read, editor, "> ")
  if not ok then
    print("raised " .. tostring(line))
    break
  elseif orders[line] then
    orders[line]()
  else
    print(line and ("%q"):format(line):gsub("\\\n", "\\n") or reason)
    if reason == "end" then break end
    if line then editor:add(line) end
  end
end
editor:close()
]]

local folder, script, command

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local function go()
  write(folder .. "/go", "")
end

-- Text as a screen of so many columns has it.
local function in_rows(text, columns)
  return (text:gsub(("."):rep(columns), "%0\n"):gsub(" *\n", "\n"))
end

-- A terminal on which the script waits for a line.
local function open(columns, rows, environment, history)
  local screen = screens.open(("%s %s %s"):format(environment or "", command, history or ""),
    columns, rows)
  screen:wait(">")
  return screen
end

describe("a line on a terminal", function()
  setup(function()
    folder = os.tmpname()
    os.execute(("rm %s && mkdir %s"):format(folder, folder))
    script = folder .. "/lines.lua"
    write(script, SCRIPT)
    command = ("%s run %s %s"):format(program, script, folder)
  end)

  teardown(function()
    os.execute("rm -rf " .. folder)
  end)

  it("is edited", function()
    local screen <close> = open()
    screen:type "hello"
    screen:key("Left", "Left", "X", "Home", "<", "End", ">", "BSpace", "Enter")
    screen:wait '> <helXlo\n"<helXlo"\n>'
    screen:type "one two three"
    screen:key("C-w", "C-a", "DC", "C-Right", "C-k", "C-y", "C-y", "Enter")
    screen:wait '"ne two  two "\n>'
  end)

  it("may have any characters", function()
    local screen <close> = open()
    screen:type "é漢字😀x"
    screen:key("Left", "Left", "BSpace", "Left", "-", "Enter")
    screen:wait '"é-漢😀x"\n>'
    screen:send "a\xff\xc3b\xe6\xbcc\xc2\x85d\0e"
    screen:key "Enter"
    screen:wait '"a��b�cde"\n>'
    screen:send "x\27[15~\27[200;5u\27Oz\27[1;9Py" -- keys that mean nothing
    screen:key "Enter"
    screen:wait '"xy"\n>'
  end)

  it("keeps wide characters in their columns", function()
    for _, environment in ipairs { "TERM=screen", "TERM=xterm" } do
      local screen <close> = open(60, 16, environment)
      screen:type(("日本"):rep(20))
      screen:key("C-a", "x", "x")
      screen:wait("> xx" .. ("日本"):rep(14) .. "\n" .. ("日本"):rep(6))
      screen:key("Right", "Right", "BSpace", "Home", "DC")
      screen:wait("> x日" .. ("日本"):rep(13) .. "日\n本" .. ("日本"):rep(5))
      screen:key "Enter"
      screen:wait "\"\n>"
    end
  end)

  it("may be longer than the screen is wide, and is drawn again when that changes", function()
    local screen <close> = open(40)
    local text = ("words and"):rep(9, " ")
    screen:type(text)
    screen:key("Left", "Left")
    screen:wait(in_rows("> " .. text, 40))
    screen:resize(30, 16)
    screen:wait(in_rows("> " .. text, 30))
    screen:resize(70, 16)
    screen:wait(in_rows("> " .. text, 70))
    screen:type "X"
    text = text:sub(1, -3) .. "X" .. text:sub(-2)
    screen:wait(in_rows("> " .. text, 70))
    screen:key "Enter"
    screen:wait(in_rows('"' .. text .. '"', 70) .. "\n>")
  end)

  it("may be taller than the screen", function()
    local screen <close> = open(20, 5)
    screen:paste(("word\n"):rep(12) .. "end")
    screen:wait "word\nend"
    screen:key("Up", "Up", "Up", "Up", "Up", "C-b", "End", "Left", "M-b", "End")
    screen:type(("x"):rep(70))
    screen:wait(("x"):rep(13))
    screen:key("Left", "Right", "y", "Enter")
    screen:wait(('%s\n>'):format(in_rows('"' .. ("word\\n"):rep(12) .. "end" .. ("x"):rep(70)
      .. 'y"', 20):sub(-60)))
  end)

  it("comes back from the history, with all of its lines", function()
    local screen <close> = open(nil, nil, nil, folder .. "/state/history")
    for _, text in ipairs { "one", "two\nlines \\n", "two\nlines \\n", "  " } do
      screen:paste(text)
      screen:key "Enter"
      screen:wait "\"\n>"
    end
    screen:key("Up", "Up", "Up", "Down", "Enter")
    screen:wait '"two\\nlines \\\\n"\n>'
    assert.equal("one\ntwo\\nlines \\\\n\n", read(folder .. "/state/history"))
    assert.equal("-rw-------", io.popen("ls -l " .. folder .. "/state/history"):read(10))

    local other <close> = open(nil, nil, nil, folder .. "/state/history")
    other:key("Up", "Up", "Up", "Enter")
    other:wait '"one"\n>'
    other:key "C-r"
    other:type "lin"
    other:wait "bck:lin"
    other:key("Home", "!", "Enter")
    other:wait '"!two\\nlines \\\\n"\n>'
  end)

  it("is completed", function()
    local screen <close> = open()
    screen:type "pri"
    screen:key "Tab"
    screen:wait "> print"
    screen:key "Tab"
    screen:wait "print   printf\n> print"
    screen:type "f(éc"
    screen:key("Tab", "o", "Tab", "Enter")
    screen:wait '"printf(écrou"\n>'
    screen:type "many"
    screen:key "Tab"
    screen:wait "many12   many24   many36   many48   many60   many72\n… 28 more\n> many"
    screen:key("Tab", "C-u")
    screen:type "nothing"
    screen:key("Tab", "Enter")
    screen:wait '"nothing"\n>'
    screen:key("Tab", "x", "Enter")
    screen:wait '"  x"\n>'
    screen:type "oops"
    screen:key "Tab"
    screen:wait(function(text)
      return text:find "complaint: .*no candidates\n> oops$"
    end)
  end)

  it("is pasted in one piece", function()
    local screen <close> = open()
    screen:paste "if x then\n\tpr\nend"
    screen:wait "> if x then\n        pr\nend"
    screen:key "Enter"
    screen:wait '"if x then\\n\\9pr\\nend"\n>'
    screen:type "y = "
    screen:paste "{\r\n1 }\r\n"
    screen:wait '"y = {\\n1 }"\n>'
    screen:key "C-r"
    screen:paste "z"
    screen:key "Enter"
    screen:wait '"z"\n>'
    screen:paste(("0123456789abcdef\n"):rep(20000) .. "print")
    screen:wait "def\nprint"
    screen:key("C-r", "Home", "Enter") -- too much to be searched
    screen:wait 'print"\n>'
  end)

  it("is given up with Ctrl-C, in a search, too, and ended with Ctrl-D", function()
    local screen <close> = open()
    screen:key "C-c"
    screen:wait "> ^C\ninterrupt\n>"
    screen:type "some text"
    screen:key("Left", "Left")
    screen:wait "> some text"
    screen:key "C-c"
    screen:wait "> some text^C\ninterrupt\n>"
    screen:key("x", "Enter")
    screen:wait '"x"\n>'
    screen:key "C-r"
    screen:wait "bck:"
    screen:key "C-c"
    screen:wait '"x"\n> ^C\ninterrupt\n>'
    screen:type "abc"
    screen:key("C-d", "Left", "C-d", "Enter")
    screen:wait '"ab"\n>'
    screen:key "C-d"
    screen:wait ">\nend\nstatus 0"
  end)

  it("lets others print above it", function()
    local screen <close> = open(70)
    local text = ("typed"):rep(20, " ")
    for _, order in ipairs { "say", "show", "log", "fail" } do
      screen:key "C-l"
      screen:type(order)
      screen:key "Enter"
      screen:wait(order .. "\n>")
      screen:type(text)
      screen:key("Home", "Right")
      screen:wait "typed typed"
      go()
      local said = order == "say" and "printed" or order == "show" and "shown\nin two rows"
        or order == "log" and "logged" or "a callback failed"
      local column, row
      screen:wait(function(shown)
        column, row = screen:cursor()
        return shown:find(said .. "\n" .. in_rows("> " .. text, 70), 1, true)
          and shown:find("^> " .. order)
      end)
      assert.equal(3, column)
      assert.equal(said:find "\n" and 3 or 2, row)
      screen:key "C-c"
      screen:wait "^C\ninterrupt\n>"
    end
  end)

  it("leaves the terminal to code that runs", function()
    local screen <close> = open()
    screen:type "ask"
    screen:key "Enter"
    screen:wait "name?"
    screen:type "Ada"
    screen:key("BSpace", "a", "Enter")
    screen:wait "name? Ada\nit is Ada\n>"
    screen:type "part"
    screen:key "Enter"
    screen:wait "> part\npart\n>"
  end)

  it("lets Ctrl-C end a callback that does not end", function()
    local screen <close> = open()
    screen:type "spin"
    screen:key "Enter"
    go()
    screen:wait "spinning"
    screen:key "C-c"
    screen:wait(function(text)
      return text:find "raised interrupted\n.*status 130$"
    end)
  end)

  it("gives the terminal back however the program ends", function()
    for signal, status in pairs { TERM = 130, QUIT = 131, KILL = 137 } do
      local shell = ("sh -c 'echo $$ >%s/pid; exec \"$0\" \"$@\"'"):format(folder)
      local screen <close> = open(nil, nil, shell)
      screen:type "some text"
      screen:wait "> some text"
      os.execute(("kill -%s %s"):format(signal, read(folder .. "/pid")))
      screen:wait("status " .. status)
      if signal ~= "KILL" then
        assert.is_nil(screen:text():find "textstatus")
      end
    end
    local screen <close> = screens.open(command .. "; stty -a")
    screen:wait ">"
    screen:type "exit"
    screen:key "Enter"
    screen:wait ">"
    screen:type "some text"
    go()
    screen:wait "status 0"
    assert.is_truthy(screen:text():find " icanon")
    assert.is_truthy(screen:text():find " echo ")
  end)

  it("may be suspended", function()
    local screen <close> = screens.open("bash --norc -i", 120)
    screen:wait "#"
    screen:type("PS1='$ '; clear; " .. command)
    screen:key "Enter"
    screen:wait ">"
    screen:type "abc"
    screen:key "C-z"
    screen:wait(function(text)
      return text:find "> abc\n.*Stopped.*\n%$$"
    end)
    screen:type "stty -a | grep -o ' icanon'; fg"
    screen:key "Enter"
    screen:wait(function(text)
      return text:find "\n icanon\n.*\n> abc$"
    end)
    screen:key("d", "Enter")
    screen:wait '"abcd"\n>'
  end)

  it("ends with its terminal", function()
    local done = folder .. "/done"
    do
      local screen <close> = screens.open(("trap '' HUP; %s; echo done > %s"):format(command, done))
      screen:wait ">"
      screen:type "abc"
      screen:wait "> abc"
    end
    for _ = 1, 300 do
      if io.open(done) then
        return
      end
      os.execute "sleep 0.1"
    end
    error "it goes on"
  end)

  it("needs no terminal that can do much", function()
    for _, environment in ipairs { "TERM=dumb", "TERM=nonsense", "env -u TERM", "TERM=vt100" } do
      local screen <close> = open(40, 24, environment)
      screen:type "ab"
      screen:key("Left", "x", "Enter")
      screen:wait '> axb\n"axb"\n>'
      screen:type "say"
      screen:key "Enter"
      screen:type "typed"
      go()
      screen:wait "printed\n> typed"
      screen:key "C-c"
      screen:wait "> typed^C\ninterrupt\n>"
      screen:key "C-d"
      screen:wait "end\nstatus 0"
    end
  end)

  it("is drawn on stderr where stdout goes elsewhere", function()
    for _, where in ipairs { ">" .. folder .. "/out", ">&-" } do
      local screen <close> = screens.open(("sh -c '%s %s'"):format(command, where))
      screen:wait ">"
      screen:type "abc"
      screen:key("Left", "Enter")
      screen:wait "> abc\n>"
      screen:key "C-d"
      screen:wait "status 0"
    end
    assert.equal('"abc"\nend\n', read(folder .. "/out"))
  end)

  it("says so when the history cannot be kept", function()
    local screen <close> = open(nil, nil, nil, "/proc/nothing/history")
    screen:type "abc"
    screen:key "Enter"
    screen:wait(function(text)
      return text:find "complaint: cannot keep the history: .*\n>$"
    end)
    screen:key("Up", "Enter")
    screen:wait '> abc\n"abc"\n>'
  end)
end)

describe("lines of a pipe", function()
  local function pipe(input)
    local run <close> = assert(io.popen(("printf '%s' | %s 2>&1"):format(input, command)))
    return run:read "a"
  end

  setup(function()
    folder = os.tmpname()
    os.execute(("rm %s && mkdir %s"):format(folder, folder))
    write(folder .. "/lines.lua", SCRIPT)
    command = ("%s run %s/lines.lua %s"):format(program, folder, folder)
  end)

  teardown(function()
    os.execute("rm -rf " .. folder)
  end)

  it("come as they are, and nothing else is written", function()
    assert.equal('"a"\n""\n"b\\0c\\9"\n"last"\nend\n', pipe "a\\n\\nb\\000c\\t\\nlast")
    assert.equal("end\n", pipe "")
  end)

  it("may be of any length", function()
    local zeros = "head -c 3000000 /dev/zero | tr '\\0' x"
    local run <close> = assert(io.popen(("%s | %s | wc -c"):format(zeros, command)))
    assert.equal(3000000 + #'""\nend\n', math.tointeger(run:read "l"))
  end)

  it("leave the rest to code that reads", function()
    assert.equal('name? it is Ada\n"next"\nend\n', pipe "ask\\nAda\\nnext\\n")
  end)

  it("end with what cannot be read", function()
    local run <close> = assert(io.popen(command .. " </"))
    assert.equal("complaint: cannot read standard input: Is a directory\nend\n", run:read "a")
  end)
end)
