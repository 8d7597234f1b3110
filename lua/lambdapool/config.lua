--- The configuration: where the values come from that neither a script nor a command line gives.

local config = {}

local flags = {}

function config.set_flags(values)
  for name, value in pairs(values) do
    flags[name] = value
  end
end

function config.get(name)
  return flags[name] or os.getenv("LAMBDAPOOL_" .. name:upper())
end

function config.pool()
  return {}
end

return config
