--- Follows the README's section on the prompt word for word, on a terminal: what stands behind
--- prompts is typed, and the screen must show what stands below, but for times and counts that
--- differ from run to run. LAMBDAPOOL_README names another file.

local screens = require "tests.e2e.repl_screen"

local build = os.getenv "LAMBDAPOOL_BUILD"
local TITLE = "## At the prompt\n"

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

-- The blocks of the section that show a terminal, without the line that begins them.
local function blocks()
  local text = read(os.getenv "LAMBDAPOOL_README" or "README.md")
  local first = assert(text:find(TITLE, 1, true), "the README has no section on the prompt")
  local section = text:sub(first + #TITLE):match "^(.-)\n## " or text:sub(first)
  local found = {}
  for block in section:gmatch "\n```\n(.-)```" do
    local command, rest = block:match "^%$ ([^\n]*)\n(.*)$"
    found[#found + 1] = { command = command, text = rest }
  end
  return found
end

-- What was typed, each { prompt, line }, and what stands below it.
local function steps(text)
  local list = {}
  for line in text:gmatch "([^\n]*)\n" do
    local prompt, typed = line:match "^(>>?) ?(.*)$"
    if prompt then
      list[#list + 1] = { prompt = prompt, typed = typed, shown = "" }
    else
      list[#list].shown = list[#list].shown .. line .. "\n"
    end
  end
  return list
end

-- Text without what differs.
local function plain(text)
  return (text:gsub("[%d.]+ (m?s)%f[%W]", "N %1"):gsub("worker %d+", "worker N")
    :gsub("interrupted: %d+ tasks? done, 0 failed, %d+ not done", "interrupted: N"))
end

describe("the README's section on the prompt", function()
  local folder

  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
  end)

  after_each(function()
    os.execute("rm -rf " .. folder)
  end)

  it("is what a terminal shows", function()
    local all = {}
    local session = blocks()[1]
    local screen <close> = screens.open(("env PATH=%s:$PATH HOME=%s LANG=C.UTF-8 NO_COLOR=1 %s")
      :format(build, folder, session.command .. " --workers 2"), 100, 50)
    for _, step in ipairs(steps(session.text)) do
      screen:wait(function(text)
        return plain(text) == table.concat(all, "\n") .. (all[1] and "\n" or "") .. step.prompt
      end)
      screen:type(step.typed)
      screen:key "Enter"
      if step.typed:find "Ctrl%-C" then
        os.execute "sleep 1" -- for some tasks to be done; it is right without
        screen:key "C-c"
      end
      all[#all + 1] = step.prompt .. " " .. step.typed
      for line in step.shown:gmatch "[^\n]+" do
        all[#all + 1] = plain(line)
      end
    end
    screen:wait "status 0"
  end)

  it("is what comes out of a pipe", function()
    local example = blocks()[2]
    local pipe <close> = assert(io.popen(("env PATH=%s:$PATH HOME=%s sh -c '%s'"):format(build,
      folder, example.command:gsub("'", "'\\''"))))
    assert.equal(example.text, pipe:read "a")
  end)
end)
