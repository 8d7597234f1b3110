--- Completions: what can be waited for. Futures, whole calls and moments inside the library are
--- tables with `is_done`; everything about waiting for one stands here.
---
---   is_done    true once it has happened
---   callbacks  functions of the user's, called later with the table, in order
---   watchers   key -> function of the library's, called with the table at once

local flow = require "lambdapool.flow"
local interrupt = require "lambdapool.interrupt"
local loop = require "lambdapool.loop"

local completion = {}

-- An interrupt is raised by the flow itself.
local function on_end(ok, failure)
  if not ok and not interrupt.is(failure) then
    loop.raise_later(failure)
  end
end

-- Runs one of the user's callbacks. As a flow: any number of them may wait at the same time.
local function call(entry)
  flow.start(function()
    entry[1](entry[2]) -- perhaps a callable table
  end, on_end)
end

--- It has happened: whoever waits goes on, callbacks are put off until the user waits or polls.
---@param self table
function completion.finish(self)
  local callbacks, watchers = self.callbacks, self.watchers
  self.is_done, self.callbacks, self.watchers = true, nil, nil
  if watchers then
    for _, watcher in pairs(watchers) do
      watcher(self)
    end
  end
  if callbacks then
    for _, callback in ipairs(callbacks) do
      loop.later(call, { callback, self })
    end
  end
end

--- Has watcher(self) called when it happens, unless it has already. `key` serves to take it back.
function completion.watch(self, key, watcher)
  self.watchers = self.watchers or {}
  self.watchers[key] = watcher
end

function completion.unwatch(self, key)
  if self.watchers then
    self.watchers[key] = nil
  end
end

--- Has callback(self) called, by a call that waits or polls, once it has happened.
function completion.add_callback(self, callback)
  if self.is_done then
    return loop.later(call, { callback, self })
  end
  self.callbacks = self.callbacks or {}
  table.insert(self.callbacks, callback)
end

local function is_done(self)
  return self.is_done
end

-- Parks the running flow until it happens or the time is over.
local function park(self, seconds)
  local key, timer = {}, nil
  flow.park(function(wake)
    completion.watch(self, key, wake)
    timer = seconds and loop.after(seconds, wake)
  end)
  completion.unwatch(self, key)
  if timer then
    timer:cancel()
  end
end

--- Waits until it has happened, `seconds` at most: yields in a flow, else blocks. True when it has.
---@param self table
---@param seconds number?
---@return boolean
function completion.await(self, seconds)
  if not flow.running() then
    return loop.wait(is_done, self, seconds)
  elseif not self.is_done then
    park(self, seconds)
  end
  return self.is_done or false
end

return completion
