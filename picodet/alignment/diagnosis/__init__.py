"""Why a layer or a weight differs: the known causes, tried one by one."""
