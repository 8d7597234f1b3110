local progress = require "lambdapool.progress"

local real_world <const> = progress.world

-- A world that stands still: time passes with `pass`, what was written is in `output`.
local now, output, timers, environment, columns, is_terminal, has_prints
local done, running, failed, retried

-- `done` are those that have ended, as the line has it.
local function counts()
  return done - failed, running, failed, retried
end

local function pass(seconds)
  now = now + seconds
end

local function written()
  local text = table.concat(output)
  output = {}
  return text
end

-- What a terminal would show of it: its lines, without trailing blanks; controls do what they say.
local function screen(text)
  local lines, line = {}, ""
  for part, control in (text .. "\0"):gmatch "([^\r\n\0]*)([\r\n\0])" do
    part = part:gsub("\27%[%d*m", "")
    local before, after = part:match "^(.*)\27%[K(.*)$"
    if before then
      line = before .. after
    else
      line = line .. part
    end
    if control == "\n" then
      lines[#lines + 1], line = line, ""
    elseif control == "\r" then
      line = ""
    end
  end
  lines[#lines + 1] = line ~= "" and line or nil
  return lines
end

-- Runs the timers that are due.
local function fire()
  for i = #timers, 1, -1 do
    local timer = timers[i]
    if timer.cancelled then
      table.remove(timers, i)
    elseif timer.at <= now then
      table.remove(timers, i)
      timer.fn()
    end
  end
end

local function cancel(timer)
  timer.cancelled = true
end

describe("the progress line", function()
  local line

  before_each(function()
    now, output, timers, columns = 1000, {}, {}, 60
    is_terminal, has_prints = true, true
    done, running, failed, retried = 0, 0, 0, 0
    environment = { TERM = "xterm", LANG = "C" }
    progress.automatic = false
    progress.world = {
      now = function() return now end,
      getenv = function(name) return environment[name] end,
      is_terminal = function() return is_terminal end,
      has_prints = function() return has_prints end,
      columns = function() return columns end,
      write = function(text) output[#output + 1] = text end,
      after = function(seconds, fn)
        timers[#timers + 1] = { at = now + seconds, fn = fn, cancel = cancel }
        return timers[#timers]
      end,
    }
  end)

  after_each(function()
    if line then
      line:finish()
    end
    line = nil
    progress.world = real_world
    progress.automatic = false
  end)

  local function start(total, mode)
    line = progress.start(mode == nil and true or mode, total, counts)
    return line
  end

  local function show(seconds, ...)
    pass(seconds)
    done, running, failed, retried = ...
    line:update()
    fire()
    return written()
  end

  describe("on a terminal", function()
    it("tells everything", function()
      columns = 90
      start(10000)
      assert.equal("\r  37%  [#####         ]  3,700/10,000  411/s  2 running  "
        .. "\27[31m1 failed\27[0m  \27[33m3 retried\27[0m  eta 0:16\27[K", show(9, 3700, 2, 1, 3))
    end)

    it("tells nothing that is zero", function()
      start(100)
      assert.equal("   0%  [                      ]  0/100", screen(show(0.1, 0, 0, 0, 0))[1])
      assert.same({ "  50%  [#######       ]  50/100  25/s  2 running  eta 0:02" },
        screen(show(1.9, 50, 2, 0, 0)))
    end)

    it("knows no end without a total", function()
      start(nil)
      assert.same({ "  3,700 done  370/s  2 running  1 failed" }, screen(show(10, 3700, 2, 1, 0)))
    end)

    it("reaches 100 % only at the end", function()
      start(1000)
      assert.matches("^  99%%", screen(show(1, 999, 1, 0, 0))[1])
      local text = screen(show(1, 1000, 0, 0, 0))[1]
      assert.matches("^ 100%%", text)
      assert.is_nil(text:find "eta")
    end)

    it("is drawn ten times a second and no more", function()
      start(1000)
      local draws = 0
      for k = 1, 1000 do
        if show(0.001, k, 1, 0, 0) ~= "" then
          draws = draws + 1
        end
      end
      assert.is_true(draws >= 9 and draws <= 11, draws)
    end)

    it("asks for counts only then", function()
      local asked = 0
      for _, terminal in ipairs { true, false } do
        is_terminal = terminal
        line = progress.start(true, 10, function()
          asked = asked + 1
          return 1, 1, 0, 0
        end)
        pass(0.1)
        for _ = 1, 100 do
          line:update()
        end
        assert.equal(terminal and 0 or 1, asked)
        line:finish()
      end
    end)

    it("is not drawn by answers, which may come while the script runs", function()
      start(10)
      pass(1)
      done = 5
      line:update()
      assert.equal("", written())
    end)

    it("writes nothing when nothing has changed", function()
      start(nil)
      show(1, 0, 0, 0, 0)
      assert.equal("", show(1, 0, 0, 0, 0))
    end)

    it("is gone at the end", function()
      start(10)
      local text = show(1, 5, 2, 0, 0)
      line:finish()
      assert.same({}, screen(text .. written()))
      line:finish()
      assert.equal("", show(1, 6, 2, 0, 0))
    end)

    it("has a timer that draws it between answers", function()
      start(10)
      show(1, 5, 2, 0, 0)
      for _ = 1, 10 do
        pass(0.2)
        fire()
      end
      assert.matches("1.7/s", screen(written())[1], 1, true)
      line:finish()
      written()
      pass(1)
      fire()
      assert.equal(0, #timers)
      assert.equal("", written())
    end)

    it("never moves the cursor but in its line", function()
      start(10)
      local text = show(1, 5, 2, 1, 1)
      progress.log "hello"
      line:finish()
      text = text .. written()
      for control in text:gmatch "\27%[?[%d?;]*%a?" do
        assert.is_truthy(control == "\27[K" or control:find "^\27%[%d+m$", control)
      end
    end)
  end)

  describe("in little room", function()
    it("has no bar, then less and less", function()
      start(1000000)
      local last
      for width = 90, 1, -1 do
        columns = width
        progress.hide()
        written()
        local text = screen(show(10, 370000, 2, 1, 3))[1]
        assert.is_true(#text < math.max(width, 2), text)
        last = text
      end
      assert.equal("3", last)
    end)

    it("keeps what matters", function()
      start(10000)
      columns = 40
      assert.same({ "  37%  3,700/10,000  1 failed  eta 0:18" }, screen(show(10, 3700, 2, 1, 3)))
      columns = 21
      assert.same({ "  37%  3,700/10,000" }, screen(show(1, 3700, 2, 1, 3)))
      columns = 15
      assert.same({ "3,700/10,000" }, screen(show(1, 3700, 2, 1, 3)))
    end)

    it("asks COLUMNS, or takes 80, where the terminal does not say", function()
      columns = nil
      start(100000)
      assert.equal(78, #screen(show(1, 3700, 2, 111, 33333))[1])
      environment.COLUMNS = "20"
      assert.is_true(#screen(show(1, 3700, 2, 1, 3))[1] < 20)
    end)
  end)

  describe("respects", function()
    it("UTF-8", function()
      for _, name in ipairs { "LANG", "LC_CTYPE", "LC_ALL" } do
        environment = { TERM = "xterm", LANG = "C", [name] = "de_DE.UTF-8" }
        start(100)
        assert.matches("━─", show(1, 50, 0, 0, 0), 1, true)
        line:finish()
        written()
      end
      environment = { TERM = "xterm", LANG = "de_DE.UTF-8", LC_ALL = "POSIX" }
      start(100)
      assert.is_nil(show(1, 50, 0, 0, 0):find "[\x80-\xff]")
    end)

    it("NO_COLOR", function()
      environment.NO_COLOR, environment.CLICOLOR_FORCE = "1", "1"
      start(100)
      assert.is_nil(show(1, 50, 0, 1, 1):find "\27%[%d*m")
    end)

    it("CLICOLOR_FORCE", function()
      environment.CLICOLOR_FORCE, is_terminal = "1", false
      start(100)
      assert.matches("\27[31m1 failed\27[0m", show(1, 50, 0, 1, 1), 1, true)
      line:finish()
      written()
      environment.CLICOLOR_FORCE = "0"
      start(100)
      assert.is_nil(show(1, 50, 0, 1, 1):find "\27")
    end)

    it("TERM=dumb", function()
      for _, term in ipairs { "dumb", "", false } do
        environment.TERM = term or nil
        start(100)
        local text = show(1, 50, 2, 1, 1)
        line:finish()
        assert.is_nil((text .. written()):find "[^\n -~]")
      end
    end)
  end)

  describe("elsewhere", function()
    before_each(function()
      is_terminal = false
    end)

    it("is a plain line every 10 %", function()
      start(1000)
      local text = ""
      for k = 1, 1000 do
        text = text .. show(0.01, k, k < 1000 and 2 or 0, 0, 0)
      end
      line:finish()
      text = text .. written()
      local lines = screen(text)
      assert.equal(10, #lines, text)
      assert.matches("^  1[01]%%  1[01]0/1,000  100/s  2 running  eta 0:09$", lines[1])
      assert.equal(" 100%  1,000/1,000  100/s", lines[10])
      assert.is_nil(text:find "[\r\27]")
    end)

    it("is a plain line every 10 s", function()
      start(1000000)
      local text = ""
      for k = 1, 350 do
        text = text .. show(0.1, k, 0, 0, 0)
      end
      assert.equal(3, #screen(text))
      assert.equal("   0%  100/1,000,000  10/s  eta 1d 3h", screen(text)[1])
    end)

    it("comes from a timer where no task ends", function()
      start(10)
      for _ = 1, 150 do
        pass(0.1)
        fire()
      end
      assert.same({ "   0%  0/10" }, screen(written()))
    end)

    it("has a last line, once", function()
      start(10)
      show(1, 2, 2, 0, 0)
      done, running, failed = 5, 0, 1
      line:finish()
      assert.equal("  50%  5/10  5/s  1 failed\n", written())
      start(nil)
      show(1, 10, 0, 0, 0)
      line:finish()
      assert.equal("  10 done  10/s\n", written())
    end)

    it("is not there unless asked for", function()
      progress.automatic = true
      assert.is_nil(progress.start(nil, 10, counts))
      assert.is_nil(progress.start(false, 10, counts))
    end)
  end)

  describe("of a call that nobody asked about", function()
    it("is not there in a library", function()
      assert.is_nil(progress.start(nil, 10, counts))
    end)

    it("appears after a second", function()
      progress.automatic = true
      line = progress.start(nil, 100, counts)
      assert.equal("", show(1, 10, 2, 0, 0))
      assert.same({ "  11%  [#             ]  11/100  10/s  2 running  eta 0:09" },
        screen(show(0.1, 11, 2, 0, 0)))
    end)

    it("leaves no trace of a short one", function()
      progress.automatic = true
      for _, term in ipairs { "xterm", "dumb" } do
        environment.TERM = term
        line = progress.start(nil, 100, counts)
        show(0.5, 100, 0, 0, 0)
        line:finish()
        assert.equal("", written())
      end
    end)

    it("does not appear when that was said", function()
      progress.automatic = true
      assert.is_nil(progress.start(false, 10, counts))
    end)
  end)

  it("is one at a time", function()
    start(10)
    assert.is_nil(progress.start(true, 10, counts))
    line:finish()
    assert.is_truthy(start(10))
  end)

  it("is not there without tasks", function()
    assert.is_nil(progress.start(true, 0, counts))
  end)

  it("makes room when its call was given up", function()
    progress.start(true, 10, counts)
    collectgarbage()
    collectgarbage()
    pass(1)
    fire()
    assert.is_truthy(start(10))
  end)

  describe("and other output", function()
    it("stays below lines of tasks", function()
      start(10)
      local text = show(1, 5, 2, 0, 0)
      progress.log "hello"
      progress.log "and more"
      text = text .. written()
      local lines = screen(text)
      assert.same({ "hello", "and more" }, { lines[1], lines[2] })
      assert.matches("^  50%%", lines[3])
    end)

    it("is not in the way when it does not show", function()
      progress.log "hello"
      assert.equal("hello\n", written())
      is_terminal = false
      start(10)
      show(1, 5, 2, 0, 0)
      progress.log "hello"
      assert.equal("hello\n", written())
    end)

    it("hides until its next update", function()
      start(10)
      local text = show(1, 5, 2, 0, 0)
      progress.hide()
      text = text .. written()
      assert.same({}, screen(text))
      progress.hide()
      assert.equal("", written())
      assert.matches("50%%", screen(show(1, 5, 2, 0, 0))[1])
      has_prints = false
      progress.hide()
      assert.equal("", written())
    end)

    it("may be ended for somebody who needs its place", function()
      start(10)
      local text = show(1, 5, 2, 0, 0)
      progress.stop()
      text = text .. written()
      assert.same({}, screen(text))
      assert.equal("", show(1, 6, 2, 0, 0))
      progress.stop()
      assert.equal("", written())
    end)

    it("is cleared for the last words of a program", function()
      start(10)
      local text = show(1, 5, 2, 0, 0) .. "^C"
      progress.clear()
      text = text .. written()
      assert.same({}, screen(text))
      assert.equal("", show(1, 6, 2, 0, 0))
      pass(1)
      fire()
      assert.equal(0, #timers)
    end)
  end)
end)
