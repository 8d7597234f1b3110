--- What the specs of signing share.

local support = {
  now = 1440938160, -- 2015-08-30 12:36:00 UTC
  keys = { access_key = "AKIDEXAMPLE", secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" },
}

function support.keys_with(token)
  return { access_key = support.keys.access_key, secret_key = support.keys.secret_key,
    token = token }
end

function support.options_with(more)
  local options = { region = "us-east-1", service = "lambda", time = support.now }
  for name, value in pairs(more or {}) do
    options[name] = value
  end
  return options
end

--- The names of a table, in order.
function support.names_of(headers)
  local names = {}
  for name in pairs(headers) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

return support
